/**
 * Programs in C for guests: compiled by the host's gcc, and put beside the files of the initramfs.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeCpio, type CpioEntry } from '../../src/toolstack/build/cpio.ts'

/** The static program made of a source in this folder; undefined where gcc cannot. */
export function compile(source: string, ...options: readonly string[]): Uint8Array | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-c-'))
  const program = join(folder, 'program')
  const built = spawnSync('gcc',
    ['-O2', ...options, '-static', '-o', program, join(import.meta.dirname, source)])
  const bytes = built.status === 0 ? readFileSync(program) : undefined
  rmSync(folder, { recursive: true })
  return bytes
}

/** Linux unpacks several archives one after the other. */
export function withFiles(
  initrd: Uint8Array, files: Readonly<Record<string, Uint8Array>>,
): Uint8Array {
  const entries = Object.entries(files).map(([path, content]): CpioEntry =>
    ({ kind: 'file', path, mode: 0o755, content }))
  return Buffer.concat([initrd, writeCpio(entries)])
}
