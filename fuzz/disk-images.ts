/**
 * Fuzz target: damaged qcow2 and VHD images give StorageError or HostFileError, and soon.
 *
 * `node fuzz/disk-images.ts [runs] [seed]`; short by default.
 */
import fc from 'fast-check'
import { nodeDecompressor } from '../src/node/compression.ts'
import type { BlockStore, ImageFormat } from '../src/storage/block-store.ts'
import { MemoryFiles } from '../src/storage/memory-file.ts'
import { openImage } from '../src/storage/open.ts'
import { takeCensus } from '../src/storage/qcow2/census.ts'
import { createQcow2 } from '../src/storage/qcow2/create.ts'
import { readSnapshots } from '../src/storage/qcow2/snapshot-table.ts'
import { applySnapshot, createSnapshot, deleteSnapshot } from '../src/storage/qcow2/snapshots.ts'
import { Qcow2Store } from '../src/storage/qcow2/store.ts'
import { checkVhd } from '../src/storage/vhd/check.ts'
import { createVhd } from '../src/storage/vhd/create.ts'
import { VhdStore } from '../src/storage/vhd/store.ts'
import { attempt, boundedFile, damagedCopy, damages } from './samples/damage.ts'

const SECTORS = 256

/** An image with some data, as bytes. */
async function sampleOf(
  format: ImageFormat, fill: (files: MemoryFiles) => Promise<void>,
): Promise<Uint8Array> {
  const files = new MemoryFiles()
  await fill(files)
  const store = await openImage(
    { files, decompressor: nodeDecompressor }, 'disk', { access: 'write', format, alone: true })
  for (const at of [0, 5000, 30_000, 100_352]) {
    await store.write(at - at % 512, new Uint8Array(3072).fill(at & 255))
  }
  if (store instanceof Qcow2Store) {
    await createSnapshot(store, 'one', 0)
    await store.write(512, new Uint8Array(1024).fill(9))
    await store.writeZeroes(4096, 2048)
  }
  await store.close()
  return files.files.get('disk')!.content()
}

async function useDisk(store: BlockStore, seed: number): Promise<void> {
  const size = store.sizeBytes
  const steps: (() => Promise<unknown>)[] = [
    () => store.read(0, new Uint8Array(Math.min(size, 65536))),
    () => store.read(Math.max(0, size - 4096), new Uint8Array(Math.min(size, 4096))),
    () => store.extent(0, size),
    () => store.write(0, new Uint8Array(512 * (1 + seed % 9))),
    () => store.writeZeroes(1024, 4096),
    () => store.discard(0, Math.min(size, 1 << 20)),
    () => store.resize(SECTORS * 1024),
    () => store.write(SECTORS * 512, new Uint8Array(4096)),
    () => store.flush(),
  ]
  if (store instanceof Qcow2Store) {
    steps.push(() => applySnapshot(store, 'one'), () => createSnapshot(store, 'two', 0),
      () => deleteSnapshot(store, '1'))
  }
  for (const step of steps) {
    try {
      await step()
    } catch (error) {
      const { name } = error as Error
      if (name !== 'StorageError' && name !== 'HostFileError') throw error
    }
  }
}

async function tryImage(
  bytes: Uint8Array<ArrayBuffer>, format: ImageFormat, seed: number,
): Promise<void> {
  const files = new MemoryFiles()
  const file = boundedFile('disk', bytes)
  files.files.set('disk', file)
  const host = { files, decompressor: nodeDecompressor }
  await attempt(file, async () => {
    const store = await openImage(
      host, 'disk', { access: 'read', format, alone: true, unrepaired: true })
    if (store instanceof VhdStore) checkVhd(store.image)
    if (store instanceof Qcow2Store) {
      await takeCensus(store.image, await readSnapshots(file, store.image.facts))
    }
  })
  await attempt(file, async () => {
    const store = await openImage(host, 'disk', { access: 'write', format })
    await useDisk(store, seed)
    await store.close()
  })
}

async function fuzzDiskImages(runs: number, seed?: number): Promise<void> {
  const uniqueId = new Uint8Array(16).fill(7)
  const parent = { path: 'parent.vhd', uniqueId, timeStamp: 0 }
  const sizeBytes = SECTORS * 512
  const create = (fill: Parameters<typeof createQcow2>[1]) => async (files: MemoryFiles) =>
    createQcow2(await files.create('disk'), fill)
  const createDisk = (fill: Partial<Parameters<typeof createVhd>[1]>) =>
    async (files: MemoryFiles): Promise<void> =>
      createVhd(await files.create('disk'), { sizeBytes, nowMs: 0, uniqueId, ...fill })
  const kinds = [
    ['qcow2', create({ sizeBytes, clusterBytes: 512 }), [[0, 120], [512, 4096], [4096, 16384]]],
    ['qcow2', create({ sizeBytes, version: 2, clusterBytes: 4096 }), [[0, 72], [4096, 24576]]],
    ['vpc', createDisk({}), [[0, 512], [512, 1536], [1536, 2560]]],
    ['vpc', createDisk({ parent }), [[0, 512], [512, 1536], [1536, 4096]]],
  ] as const
  for (const [format, fill, regions] of kinds) {
    const bytes = await sampleOf(format, fill)
    await fc.assert(fc.asyncProperty(damages(bytes.length, regions), fc.nat(100),
      (damage, n) => tryImage(damagedCopy(bytes, damage), format, n)),
    { numRuns: runs, ...seed === undefined ? {} : { seed } })
  }
}

if (import.meta.main) {
  const [runs = '500', seed] = process.argv.slice(2)
  await fuzzDiskImages(Number(runs), seed === undefined ? undefined : Number(seed))
  console.log(`disk images: ${runs} runs each`)
}
