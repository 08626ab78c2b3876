/**
 * qcow2 images that qemu-img made, and snapshots of ours that it judges.
 */
import assert from 'node:assert/strict'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { nodeDecompressor } from '../../src/node/compression.ts'
import { nodeHostFiles } from '../../src/node/host-files.ts'
import type { BlockStore } from '../../src/storage/block-store.ts'
import { openImage } from '../../src/storage/open.ts'
import {
  applySnapshot, createSnapshot, deleteSnapshot, listSnapshots, qcow2Of,
} from '../../src/storage/qcow2/snapshots.ts'
import { inFolder, pattern } from './folder.ts'
import { DiskModel, type Step } from './model.ts'
import { assertClean, qemuContent, qemuImg, withQemuImg } from './qemu-img.ts'

const host = { files: nodeHostFiles, decompressor: nodeDecompressor }
const SECTORS = 4000

/** The same requests each time, from a seed. */
function steps(seed: number, count: number): Step[] {
  let state = seed
  const next = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 8) % below
  }
  return Array.from({ length: count }, () => ({
    kind: (['write', 'write', 'zero', 'discard', 'read'] as const)[next(5)]!,
    at: next(SECTORS), sectors: 1 + next(40), seed: next(256),
  }))
}

async function withDisk(
  path: string, work: (store: BlockStore) => Promise<void>,
): Promise<void> {
  const store = await openImage(host, path, { access: 'write' })
  try {
    await work(store)
  } finally {
    await store.close()
  }
}

for (const [kind, size] of [['zlib', '64k'], ['zstd', '64k'], ['zlib', '4k']] as const) {
  test(`${kind} clusters of ${size} are read, written over, and freed with the last of them`,
    withQemuImg, () => inFolder(async (folder) => {
      const path = join(folder, 'disk')
      await writeFile(join(folder, 'raw'), pattern(SECTORS * 512, 5))
      qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2',
        '-o', `compression_type=${kind},cluster_size=${size}`, join(folder, 'raw'), path)
      const model = new DiskModel(pattern(SECTORS * 512, 5))
      await withDisk(path, async (store) => {
        await model.compare(store)
        await model.run(store, steps(1, 60))
        await model.compare(store)
      })
      assertClean(path)
      const seen = qemuContent(path, 'qcow2', join(folder, 'raw'))
      assert.equal(Buffer.compare(seen, model.bytes), 0)
    }))
}

for (const options of ['compat=1.1', 'compat=0.10', 'compat=1.1,cluster_size=512']) {
  test(`snapshots of qemu-img stay as they are under writes (${options})`, withQemuImg, () =>
    inFolder(async (folder) => {
      const path = join(folder, 'disk')
      qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, `${SECTORS * 512}`)
      const model = new DiskModel(new Uint8Array(SECTORS * 512))
      await withDisk(path, (store) => model.run(store, steps(2, 60)))
      qemuImg('snapshot', '-c', 'first', path)
      const then = model.bytes.slice()
      await withDisk(path, (store) => model.run(store, steps(3, 60)))
      assertClean(path)
      assert.equal(Buffer.compare(
        qemuContent(path, 'qcow2', join(folder, 'raw')), model.bytes), 0)
      qemuImg('convert', '-l', 'first', '-O', 'raw', path, join(folder, 'then'))
      assert.equal(Buffer.compare(
        qemuContent(join(folder, 'then'), 'raw', join(folder, 'raw')), then), 0)
    }))
}

test('snapshots are made, gone back to and deleted, and qemu-img agrees after each', withQemuImg,
  () => inFolder(async (folder) => {
    const path = join(folder, 'disk')
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=1k', path, `${SECTORS * 512}`)
    const model = new DiskModel(new Uint8Array(SECTORS * 512))
    const saved = new Map<string, Uint8Array>()
    for (const [i, name] of ['one', 'two', 'three'].entries()) {
      await withDisk(path, async (store) => {
        await model.run(store, steps(10 + i, 60))
        await createSnapshot(qcow2Of(store), name, 1_700_000_000_000)
        saved.set(name, model.bytes.slice())
        await model.run(store, steps(20 + i, 30))
        await model.compare(store)
      })
      assertClean(path)
    }
    await withDisk(path, async (store) => {
      await applySnapshot(qcow2Of(store), 'two')
      model.bytes = saved.get('two')!.slice()
      await model.compare(store)
      await model.run(store, steps(30, 40))
    })
    assertClean(path)
    await withDisk(path, async (store) => {
      await deleteSnapshot(qcow2Of(store), '1')
      await model.run(store, steps(31, 40))
      assert.deepEqual(
        (await listSnapshots(qcow2Of(store))).map(({ id, name }) => [id, name]),
        [['2', 'two'], ['3', 'three']])
      await assert.rejects(deleteSnapshot(qcow2Of(store), 'one'), { problem: 'not found' })
      await assert.rejects(createSnapshot(qcow2Of(store), 'two', 0), { problem: 'invalid' })
    })
    assertClean(path)
    qemuImg('convert', '-l', 'three', '-O', 'raw', path, join(folder, 'then'))
    assert.equal(Buffer.compare(
      qemuContent(join(folder, 'then'), 'raw', join(folder, 'raw')), saved.get('three')!), 0)
    qemuImg('snapshot', '-a', 'two', path)
    qemuImg('snapshot', '-d', 'two', path)
    qemuImg('snapshot', '-d', 'three', path)
    model.bytes = saved.get('two')!
    await withDisk(path, (store) => model.compare(store))
    assertClean(path)
  }))

test('a chain is found by relative names from another folder, and its size may differ', withQemuImg,
  () => inFolder(async (folder) => {
    await writeFile(join(folder, 'base.raw'), pattern(3 * 512, 1))
    qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.raw', '-F', 'raw', join(folder, 'mid'), '1M')
    qemuImg('create', '-q', '-f', 'qcow2', '-b', 'mid', '-F', 'qcow2', join(folder, 'top'), '2M')
    await withDisk(join(folder, 'top'), async (store) => {
      const found = new Uint8Array(4 * 512)
      await store.read(0, found)
      assert.deepEqual(found.subarray(0, 3 * 512), pattern(3 * 512, 1))
      assert.deepEqual(found.subarray(3 * 512), new Uint8Array(512))
      await store.read((2 << 20) - 512, found.subarray(0, 512))
      await store.write(512, pattern(512, 77))
    })
    assertClean(join(folder, 'top'))
    assertClean(join(folder, 'mid'))
    qemuImg('rebase', '-u', '-F', 'qcow2', '-b', 'top', join(folder, 'mid'))
    await assert.rejects(openImage(host, join(folder, 'mid'), { access: 'read' }),
      { problem: 'unsupported', message: /more than 64 backing files/ })
  }))

test('what is not supported is refused by its name', withQemuImg, () => inFolder(async (folder) => {
  const path = join(folder, 'disk')
  const refused = (message: RegExp): Promise<void> => assert.rejects(
    openImage(host, path, { access: 'read' }), { problem: 'unsupported', message })
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'extended_l2=on', path, '1M')
  await refused(/extended L2 entries/)
  qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${join(folder, 'data')}`, path, '1M')
  await refused(/external data file/)
  for (const [at, byte, message] of [
    [35, 2, /encrypted/], [78, 0x80, /unknown incompatible feature 15/],
  ] as const) {
    qemuImg('create', '-q', '-f', 'qcow2', path, '1M')
    const file = await nodeHostFiles.open(path, 'write')
    await file.write(at, Uint8Array.of(byte))
    await file.close()
    await refused(message)
  }
}))

test('a file that looks like no image is written to only by who says that it is raw', () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk')
    await writeFile(path, pattern(4096, 2))
    await (await openImage(host, path, { access: 'read' })).close()
    await assert.rejects(openImage(host, path, { access: 'write' }), { problem: 'invalid' })
    const store = await openImage(host, path, { access: 'write', format: 'raw' })
    // What a guest writes does not change what the disk is taken for.
    const header = new Uint8Array(512)
    header.set([0x51, 0x46, 0x49, 0xfb])
    await store.write(0, header)
    await store.close()
    await (await openImage(host, path, { access: 'write', format: 'raw' })).close()
  }))

test('what is discarded goes back to the host, and is used again', withQemuImg, () =>
  inFolder(async (folder) => {
    const path = join(folder, 'disk')
    qemuImg('create', '-q', '-f', 'qcow2', path, '16M')
    await withDisk(path, async (store) => {
      const data = pattern(4 << 20, 3)
      await store.write(0, data)
      await store.write(8 << 20, data)
      const before = (await stat(path)).blocks
      await store.discard(0, 4 << 20)
      assert(((before - (await stat(path)).blocks) * 512) >= 3 << 20)
      const size = (await stat(path)).size
      await store.write(4 << 20, data.subarray(0, 1 << 20))
      assert.equal((await stat(path)).size, size)
      const found = new Uint8Array(4 << 20)
      await store.read(8 << 20, found)
      assert.equal(Buffer.compare(found, data), 0)
      await store.read(4 << 20, found)
      assert.equal(Buffer.compare(found.subarray(0, 1 << 20), data.subarray(0, 1 << 20)), 0)
      assert(found.subarray(1 << 20).every((byte) => byte === 0))
    })
    assertClean(path)
  }))
