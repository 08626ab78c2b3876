/**
 * qcow2 images in memory: cut off after every single write, and on full disks.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { BlockStore } from '../block-store.ts'
import { MemoryFile, MemoryFiles } from '../memory-file.ts'
import { openImage } from '../open.ts'
import { type Census, takeCensus } from './census.ts'
import { createQcow2, type NewQcow2 } from './create.ts'
import { Qcow2Image } from './image.ts'
import { readSnapshots } from './snapshot-table.ts'
import { createSnapshot, deleteSnapshot, qcow2Of } from './snapshots.ts'

const decompressor = {
  inflateRaw: () => assert.fail('nothing is compressed'),
  unzstd: () => assert.fail('nothing is compressed'),
}
const SECTORS = 300

async function create(wish: Partial<NewQcow2>): Promise<MemoryFiles> {
  const files = new MemoryFiles()
  await createQcow2(await files.create('disk'), { sizeBytes: SECTORS * 512, ...wish })
  return files
}

const open = (files: MemoryFiles): Promise<BlockStore> =>
  openImage({ files, decompressor }, 'disk', { access: 'write' })

async function censusOf(bytes: Uint8Array<ArrayBuffer>): Promise<Census> {
  const image = await Qcow2Image.load(new MemoryFile('disk', bytes), decompressor)
  return takeCensus(image, await readSnapshots(image.file, image.facts))
}

async function assertSound(bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  const { damage, uncounted, flags, leaks } = await censusOf(bytes)
  assert.deepEqual({ damage, uncounted, flags }, { damage: [], uncounted: [], flags: [] })
  return leaks.length
}

interface Step {
  readonly kind: 'write' | 'zero' | 'discard'
  readonly at: number
  readonly sectors: number
  readonly stamp: number
}

const groups: fc.Arbitrary<Step[][]> = fc.array(fc.array(fc.record({
  kind: fc.constantFrom('write' as const, 'write' as const, 'zero' as const, 'discard' as const),
  at: fc.nat(SECTORS - 1), sectors: fc.integer({ min: 1, max: 30 }),
  stamp: fc.integer({ min: 1, max: 255 }),
}), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 })

/** Sends requests that do not overlap; what each sector may then hold, and who failed. */
async function send(
  store: BlockStore, group: readonly Step[], allowed: Set<number>[],
): Promise<PromiseSettledResult<void>[]> {
  const taken = new Set<number>()
  const work: Promise<void>[] = []
  for (const { kind, at, sectors, stamp } of group) {
    const end = Math.min(SECTORS, at + sectors)
    const range = Array.from({ length: end - at }, (_, i) => at + i)
    if (range.some((i) => taken.has(i))) continue
    const length = range.length * 512
    const request = kind === 'write' ? store.write(at * 512, new Uint8Array(length).fill(stamp))
      : kind === 'zero' ? store.writeZeroes(at * 512, length) : store.discard(at * 512, length)
    const outcome = kind === 'write' ? stamp : 0
    for (const i of range) {
      taken.add(i)
      allowed[i]!.add(outcome)
    }
    work.push(request.then(() => {
      if (kind !== 'discard') for (const i of range) allowed[i] = new Set([outcome])
    }))
  }
  return Promise.allSettled(work)
}

async function assertContent(store: BlockStore, allowed: readonly Set<number>[]): Promise<void> {
  const bytes = new Uint8Array(SECTORS * 512)
  await store.read(0, bytes)
  allowed.forEach((values, i) => {
    const sector = bytes.subarray(i * 512, i * 512 + 512)
    assert(sector.every((byte) => byte === sector[0]) && values.has(sector[0]!),
      `sector ${i} holds ${sector[0]}, not one of ${[...values].join()}`)
  })
}

const fresh = (): Set<number>[] => Array.from({ length: SECTORS }, () => new Set([0]))

describe('cut off after any write, an image has what was written, and its counts suffice', () => {
  for (const [name, wish, snapshots] of [
    ['small clusters', { clusterBytes: 512 }, false],
    ['wide refcounts, whose table grows', { clusterBytes: 512, refcountBits: 64 }, false],
    ['clusters that a snapshot shares', { clusterBytes: 1024 }, true],
    ['version 2', { clusterBytes: 512, version: 2 }, false],
  ] as const) {
    test(name, () => fc.assert(fc.asyncProperty(groups, groups, async (before, after) => {
      const files = await create(wish)
      const store = await open(files)
      const allowed = fresh()
      for (const group of before) await send(store, group, allowed)
      if (snapshots) await createSnapshot(qcow2Of(store), 'one', 0)
      const file = files.files.get('disk')!
      const states: { bytes: Uint8Array<ArrayBuffer>, allowed: Set<number>[] }[] = []
      file.wrote = () => states.push({
        bytes: file.content(), allowed: allowed.map((values) => new Set(values)),
      })
      for (const group of after) await send(store, group, allowed)
      file.wrote = () => {}
      await store.close()
      for (const state of states) {
        await assertSound(state.bytes)
        const copy = new MemoryFiles()
        copy.files.set('disk', new MemoryFile('disk', state.bytes))
        const again = await open(copy)
        await assertContent(again, state.allowed)
        await again.close()
        assert.equal(await assertSound(copy.files.get('disk')!.content()), 0)
      }
      assert.equal(await assertSound(file.content()), 0)
    }), { numRuns: 6 }))
  }
})

test('on a full disk requests fail, earlier data stays, and all goes on when there is room', () =>
  fc.assert(fc.asyncProperty(fc.tuple(groups, groups, groups), fc.nat(40), async (work, room) => {
    const [before, during, after] = work
    const files = await create({ clusterBytes: 1024 })
    const store = await open(files)
    const file = files.files.get('disk')!
    const allowed = fresh()
    for (const group of before) await send(store, group, allowed)
    const limit = file.sizeBytes + room * 512
    file.isFull = (at, length) => at + length > limit
    for (const group of during) {
      for (const result of await send(store, group, allowed)) {
        if (result.status === 'rejected') assert.equal(result.reason.problem, 'no space')
      }
    }
    await assertContent(store, allowed)
    file.isFull = () => false
    for (const group of after) {
      for (const { status } of await send(store, group, allowed)) assert.equal(status, 'fulfilled')
    }
    await assertContent(store, allowed)
    await store.close()
    await assertSound(file.content())
    const again = await open(files)
    await assertContent(again, allowed)
    await again.close()
    assert.equal(await assertSound(file.content()), 0)
  }), { numRuns: 25 }))

test('any write may fail: each sector then holds what it held or what was written', () =>
  fc.assert(fc.asyncProperty(groups, groups, fc.infiniteStream(fc.nat(5)),
    async (before, during, luck) => {
      const files = await create({ clusterBytes: 512 })
      const store = await open(files)
      const file = files.files.get('disk')!
      const allowed = fresh()
      for (const group of before) await send(store, group, allowed)
      await createSnapshot(qcow2Of(store), 'one', 0)
      file.isFull = () => luck.next().value === 0
      for (const group of during) await send(store, group, allowed)
      file.isFull = () => false
      await assertContent(store, allowed)
      await store.close()
      await assertSound(file.content())
      const again = await open(files)
      await assertContent(again, allowed)
      await deleteSnapshot(qcow2Of(again), 'one')
      await again.close()
      assert.equal(await assertSound(file.content()), 0)
    }), { numRuns: 25 }))
