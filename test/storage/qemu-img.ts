/**
 * qemu-img as the judge of images. Where it is missing, tests that need it are skipped.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'

const found = spawnSync('qemu-img', ['--version']).status === 0

/** Options of a test that needs qemu-img. */
export const withQemuImg = found ? {} : { skip: 'qemu-img is not installed (qemu-utils)' }

/** Runs qemu-img, which must succeed; what it printed. */
export function qemuImg(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' })
  assert.equal(status, 0, `qemu-img ${args.join(' ')}: ${stdout}${stderr}`)
  return stdout
}

export interface Verdict {
  readonly leaks: number
  readonly corruptions: number
}

/** What qemu-img check finds; damage that it cannot describe is a failure. */
export function qemuCheck(path: string): Verdict {
  const args = ['check', '--output=json', '-f', 'qcow2', path]
  const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' })
  assert(status === 0 || status === 2 || status === 3, `${stdout}${stderr}`)
  const report = JSON.parse(stdout) as { leaks?: number, corruptions?: number }
  return { leaks: report.leaks ?? 0, corruptions: report.corruptions ?? 0 }
}

export function assertClean(path: string): void {
  const { status, stdout, stderr } =
    spawnSync('qemu-img', ['check', '-f', 'qcow2', path], { encoding: 'utf8' })
  assert.equal(status, 0, `${stdout}${stderr}`)
}

/** The disk in an image, as qemu-img reads it. */
export function qemuContent(path: string, format: string, rawPath: string): Buffer {
  qemuImg('convert', '-f', format, '-O', 'raw', path, rawPath)
  const file = openSync(rawPath, 'r')
  const { size } = JSON.parse(
    qemuImg('info', '--output=json', '-f', 'raw', rawPath).replace('"virtual-size"', '"size"')) as
    { size: number }
  const bytes = Buffer.alloc(size)
  readSync(file, bytes, 0, size, 0)
  closeSync(file)
  return bytes
}
