/**
 * Raw images on files of the host.
 */
import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { nodeHostFiles } from '../../src/node/host-files.ts'
import { RawStore } from '../../src/storage/raw.ts'
import { inFolder, pattern } from './folder.ts'

test('what is written is read, from buffers of shared memory too; the file is the disk', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk')
    const store = new RawStore(await nodeHostFiles.create(path))
    await store.resize(1 << 20)
    const shared = new Uint8Array(new SharedArrayBuffer(2048), 512, 1024)
    shared.set(pattern(1024, 3))
    await store.write(4096, shared)
    const found = new Uint8Array(new SharedArrayBuffer(2048))
    await store.read(4096 - 512, found)
    assert.deepEqual([...found.subarray(512, 1536)], [...pattern(1024, 3)])
    assert(found.subarray(1536).every((byte) => byte === 0))
    await store.flush()
    await store.close()
    assert.equal((await stat(path)).size, 1 << 20)
  }))

test('zeros make no blocks where there were none, and free them where there were', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk')
    const store = new RawStore(await nodeHostFiles.create(path))
    await store.resize(8 << 20)
    await store.writeZeroes(512, 64 * 1024)
    assert.equal((await stat(path)).blocks, 0)
    await store.write(0, pattern(4 << 20, 1))
    await store.writeZeroes(0, 4 << 20)
    const found = new Uint8Array(4 << 20)
    await store.read(0, found)
    assert(found.every((byte) => byte === 0))
    await store.close()
  }))
