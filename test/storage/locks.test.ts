/**
 * Images that another process has open.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { HostFileError } from '../../src/base/host-file.ts'
import { nodeHostFiles } from '../../src/node/host-files.ts'
import { inFolder } from './folder.ts'
import { KILL_SECTORS } from './kill-plan.ts'
import { qemuImg, withQemuImg } from './qemu-img.ts'

/** Tries to open a file until that is refused; what the refusal says. */
async function refusalOf(path: string, child: ChildProcess): Promise<string> {
  while (child.exitCode === null) {
    try {
      await (await nodeHostFiles.open(path, 'read')).close()
    } catch (error) {
      assert(error instanceof HostFileError && error.problem === 'locked', String(error))
      return error.message
    }
    await sleep(20)
  }
  return assert.fail('the other process ended by itself')
}

/** A process has the image for itself, and no longer when it is killed. */
async function assertHeld(
  path: string, command: readonly string[], who: RegExp,
  isReady: (output: Readable) => Promise<unknown>,
): Promise<void> {
  const [program = '', ...args] = command
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  try {
    await isReady(child.stdout)
    child.stdout.resume()
    assert.match(await refusalOf(path, child), who)
    await assert.rejects(nodeHostFiles.open(path, 'write'), { problem: 'locked' })
    await assert.rejects(nodeHostFiles.create(path), { problem: 'locked' })
  } finally {
    child.kill('SIGKILL')
    await ended
  }
  await (await nodeHostFiles.open(path, 'write')).close()
}

test('a process that writes keeps others out until it dies', () => inFolder(async (folder) => {
  const path = join(folder, 'disk')
  await writeFile(path, new Uint8Array(KILL_SECTORS * 512))
  const writer = join(import.meta.dirname, 'kill-writer.ts')
  // Not before it has written: our trying might keep it out instead.
  await assertHeld(path, [process.execPath, writer, path, 'raw', '1'], /by another process/,
    (output) => once(output, 'data'))
}))

test('so does a QEMU', withQemuImg, () => inFolder(async (folder) => {
  const path = join(folder, 'disk')
  qemuImg('create', '-q', '-f', 'qcow2', path, '1M')
  await assertHeld(path, ['qemu-io', '-f', 'qcow2', '-c', 'sleep 600000', path], /by QEMU/,
    async () => {})
}))
