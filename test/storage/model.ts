/**
 * Random requests to a disk, beside the same on an array of bytes.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { BlockStore } from '../../src/storage/block-store.ts'

const SECTOR = 512

export type Step =
  | { readonly kind: 'write' | 'read' | 'zero' | 'discard', readonly at: number,
      readonly sectors: number, readonly seed: number }
  | { readonly kind: 'resize', readonly sectors: number }
  | { readonly kind: 'flush' }

/** Steps on a disk of about `sectors` sectors, in groups that are in flight together. */
export function stepGroups(sectors: number, resizable: boolean): fc.Arbitrary<Step[][]> {
  const span = (kinds: readonly ('write' | 'read' | 'zero' | 'discard')[]): fc.Arbitrary<Step> =>
    fc.record({
      kind: fc.constantFrom(...kinds), at: fc.nat(sectors), seed: fc.nat(255),
      sectors: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 200 })),
    })
  const step = fc.oneof(
    { weight: 8, arbitrary: span(['write', 'write', 'read', 'zero', 'discard']) },
    { weight: 1, arbitrary: fc.constant<Step>({ kind: 'flush' }) })
  const resize = fc.record(
    { kind: fc.constant('resize' as const), sectors: fc.integer({ min: 1, max: sectors * 2 }) })
  const group = fc.array(step, { minLength: 1, maxLength: 8 })
  return fc.array(
    resizable ? fc.oneof({ weight: 9, arbitrary: group },
      { weight: 1, arbitrary: resize.map((r): Step[] => [r]) }) : group,
    { minLength: 1, maxLength: 12 })
}

export class DiskModel {
  bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** Runs a group of requests at once. Those that overlap another one's are left out. */
  async run(store: BlockStore, group: readonly Step[]): Promise<void> {
    const taken: [number, number][] = []
    const work: Promise<void>[] = []
    for (const step of group) {
      if (step.kind === 'resize') {
        await this.#resize(store, step.sectors * SECTOR)
      } else if (step.kind === 'flush') {
        work.push(store.flush())
      } else {
        const size = this.bytes.length / SECTOR
        const at = step.at % size
        const end = Math.min(at + step.sectors, size)
        if (taken.some(([from, to]) => from < end && at < to)) continue
        taken.push([at, end])
        work.push(this.#request(store, step, at * SECTOR, (end - at) * SECTOR))
      }
    }
    await Promise.all(work)
  }

  async #resize(store: BlockStore, sizeBytes: number): Promise<void> {
    await store.resize(sizeBytes)
    const bytes = new Uint8Array(sizeBytes)
    bytes.set(this.bytes.subarray(0, sizeBytes))
    this.bytes = bytes
  }

  async #request(
    store: BlockStore, step: Step & { seed: number }, at: number, length: number,
  ): Promise<void> {
    const part = this.bytes.subarray(at, at + length)
    const found = new Uint8Array(length)
    switch (step.kind) {
      case 'write':
        // Every sector tells which write it is of.
        for (let i = 0; i < length; i++) part[i] = step.seed + (i >> 9) + i & 0xff
        if (!writeNow(store, at, part.slice(), step.seed)) await store.write(at, part.slice())
        return
      case 'zero':
        part.fill(0)
        await store.writeZeroes(at, length)
        return
      case 'read':
        if (!readNow(store, at, found, step.seed)) await store.read(at, found)
        assert.deepEqual(found, part)
        return
      case 'discard':
        await store.discard(at, length)
        await store.read(at, found)
        for (let from = 0; from < length; from += SECTOR) {
          const sector = found.subarray(from, from + SECTOR)
          if (sector.some((byte) => byte !== 0)) {
            assert.deepEqual(sector, part.subarray(from, from + SECTOR))
          } else {
            part.fill(0, from, from + SECTOR)
          }
        }
    }
  }

  async compare(store: BlockStore): Promise<void> {
    assert.equal(store.sizeBytes, this.bytes.length)
    const found = new Uint8Array(this.bytes.length)
    await store.read(0, found)
    assert.equal(Buffer.compare(found, this.bytes), 0, 'the disk is not what the model is')
  }
}

/** Some writes on the spot, as a back-end does them; false if it is not one, or cannot be. */
function writeNow(store: BlockStore, at: number, from: Uint8Array, seed: number): boolean {
  const place = seed % 2 === 0 ? undefined : store.placeOf(at, from.length, true)
  return place?.file.writeNow(place.at, halves(from)) ?? false
}

function readNow(store: BlockStore, at: number, into: Uint8Array, seed: number): boolean {
  const place = seed % 2 === 0 ? undefined : store.placeOf(at, into.length, false)
  const count = place?.file.readNow(place.at, halves(into))
  into.fill(0, count)
  return count !== undefined
}

function halves(bytes: Uint8Array): Uint8Array[] {
  return [bytes.subarray(0, bytes.length >> 1), bytes.subarray(bytes.length >> 1)]
}
