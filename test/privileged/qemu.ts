/**
 * Runs a bare program under QEMU's TCG and takes what it sends through the debug port.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MEMORY_BYTES, ports, RECORD_WORDS } from './layout.ts'

const QEMU = 'qemu-system-x86_64'
/** As near as TCG comes to the processor that we report. */
const CPU = 'EPYC,phys-bits=36,+umip,+erms,-avx,-avx2,-f16c,-fma,-svm,-monitor'
const TIMEOUT_MS = Number(process.env['QEMU_TIMEOUT_MS'] ?? 60_000)

/** QEMU did not come to the end. */
export class QemuError extends Error {
  override readonly name = 'QemuError'
  /** Index of the experiment that it was at. */
  readonly index: number

  constructor(message: string, index: number) {
    super(message)
    this.index = index
  }
}

export function hasQemu(): boolean {
  try {
    execFileSync(QEMU, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** The records of a program. */
export function runInQemu(program: Uint8Array): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-privileged-'))
  try {
    writeFileSync(join(folder, 'program'), program)
    const { error, stderr } = spawnSync(QEMU, [
      '-accel', 'tcg,thread=single', '-cpu', CPU, '-machine', 'pc', '-m', `${MEMORY_BYTES >> 20}`,
      '-display', 'none', '-nodefaults', '-no-user-config', '-monitor', 'none', '-net', 'none',
      '-chardev', 'file,id=records,path=records',
      '-device', `isa-debugcon,iobase=${ports.RECORDS},chardev=records`,
      '-device', `isa-debug-exit,iobase=${ports.END},iosize=4`,
      '-kernel', 'program',
    ], { cwd: folder, timeout: TIMEOUT_MS, encoding: 'utf8' })
    const records = readFileSync(join(folder, 'records'))
    if (error) {
      const last = records.length - RECORD_WORDS * 8
      const index = last < 0 ? 0 : records.readUInt32LE(last + 4) + 1
      throw new QemuError(`QEMU: ${error.message}\n${stderr}`, index)
    }
    return records
  } finally {
    rmSync(folder, { recursive: true })
  }
}
