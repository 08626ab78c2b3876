/**
 * Host files through Node: locks and words.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { HostFileError } from '../base/host-file.ts'
import { nodeHostFiles, qemuForbids } from './host-files.ts'

test('one writer or several readers have a file open; others are told that it is in use', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk')
    await writeFile(path, 'x')
    const writer = await nodeHostFiles.open(path, 'write')
    const locked = { name: 'HostFileError', problem: 'locked' }
    await assert.rejects(nodeHostFiles.open(path, 'write'), locked)
    await assert.rejects(nodeHostFiles.open(path, 'read'), locked)
    await assert.rejects(nodeHostFiles.create(path), locked)
    assert.equal((await stat(path)).size, 1)
    await writer.close()
    const readers = [await nodeHostFiles.open(path, 'read'), await nodeHostFiles.open(path, 'read')]
    await assert.rejects(nodeHostFiles.open(path, 'write'), locked)
    for (const reader of readers) await reader.close()
    await (await nodeHostFiles.open(path, 'write')).close()
  }))

test('pieces of any memory are written and read on the spot, up to the end of the file', () =>
  inFolder(async (folder) => {
    const file = await nodeHostFiles.create(join(folder, 'disk'))
    const shared = new Uint8Array(new SharedArrayBuffer(3000)).fill(1)
    const pieces = [new Uint8Array(1000).fill(7), shared.subarray(0, 0), shared.subarray(500, 1500)]
    assert(file.writeNow(100, pieces))
    assert.equal(file.sizeBytes, 2100)
    const found = [new Uint8Array(150), shared, new Uint8Array(10).fill(9)]
    assert.equal(file.readNow(0, found), 2100)
    assert.deepEqual([found[0]![99], found[0]![100], shared[949], shared[950], shared[1950]],
      [0, 7, 7, 1, 1])
    await file.close()
    assert.throws(() => file.readNow(0, found), HostFileError)
  }))

test('what is not there, or no file, is refused with the system\'s words', async () => {
  await assert.rejects(nodeHostFiles.open('/none/disk', 'read'), {
    name: 'HostFileError', problem: 'not found', message: '/none/disk: No such file or directory',
  })
  await assert.rejects(nodeHostFiles.open('/dev/null', 'read'), HostFileError)
  await assert.rejects(nodeHostFiles.open('/', 'read'), { problem: 'not a file' })
})

test('the locks of a QEMU that writes, or that lets nobody write, are seen', () => {
  const line = (first: number, file = 'fe:00:77'): string =>
    `7: OFDLCK ADVISORY  READ -1 ${file} ${first} ${first}\n`
  const device = 0xfe00
  assert(!qemuForbids('', device, 77, true))
  assert(!qemuForbids(line(100), device, 77, true))
  assert(qemuForbids(line(101), device, 77, false))
  assert(qemuForbids(line(201), device, 77, true))
  assert(!qemuForbids(line(201), device, 77, false))
  assert(!qemuForbids(line(101, 'fe:00:78'), device, 77, true))
  assert(!qemuForbids('7: FLOCK  ADVISORY  WRITE 9 fe:00:77 0 EOF\n', device, 77, true))
})

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'xenolith-files-'))
  try {
    await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}
