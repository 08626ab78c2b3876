/**
 * Raw images in memory.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StorageError } from './error.ts'
import { MemoryFile } from './memory-file.ts'
import { RawStore } from './raw.ts'

test('a file that ends within a sector reads zeros up to its end', async () => {
  const store = new RawStore(new MemoryFile('disk', new Uint8Array(700).fill(9)))
  assert.equal(store.sizeBytes, 1024)
  const found = new Uint8Array(1024)
  await store.read(0, found)
  assert.deepEqual([found[699], found[700], found[1023]], [9, 0, 0])
})

test('requests outside the disk or not in sectors are refused, and so are writes to what is read',
  async () => {
    const file = new MemoryFile('disk', new Uint8Array(4096))
    const store = new RawStore(file)
    const sector = new Uint8Array(512)
    for (const at of [-512, 1, 4096, 2 ** 60, NaN, 0.5]) {
      await assert.rejects(store.read(at, sector), { name: 'StorageError', problem: 'invalid' })
      await assert.rejects(store.write(at, sector), { name: 'StorageError', problem: 'invalid' })
    }
    await assert.rejects(store.discard(0, 5000), StorageError)
    await assert.rejects(store.resize(100), StorageError)
    file.writable = false
    await assert.rejects(store.write(0, sector), { problem: 'read-only' })
  })
