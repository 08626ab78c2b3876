/**
 * Damaged copies of files, and a bound on the work that they cause.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { HostFileError } from '../../src/base/host-file.ts'
import { StorageError } from '../../src/storage/error.ts'
import { MemoryFile } from '../../src/storage/memory-file.ts'

/** No disk may have more read for it, nor grow beyond. */
const MAX_READS = 300_000
const MAX_BYTES = 8 << 20

/** Bytes to be changed, and where the file is cut off. */
export interface Damage {
  readonly changes: ReadonlyArray<readonly [number, readonly number[]]>
  readonly cut: number | null
}

/** Changes mostly where metadata are, some of them to what a reader may trip over. */
export function damages(
  length: number, regions: readonly (readonly [number, number])[],
): fc.Arbitrary<Damage> {
  const place = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(fc.constantFrom(...regions), fc.nat())
      .map(([[from, to], n]) => from + n % (to - from)) },
    { weight: 1, arbitrary: fc.nat(length - 1) })
  const value = fc.oneof(fc.nat(255).map((byte) => [byte]),
    fc.constantFrom([0, 0, 0, 0], [0xff, 0xff, 0xff, 0xff], [0x7f, 0xff], [0x80, 0, 0, 0]))
  return fc.record({
    changes: fc.array(fc.tuple(place, value), { minLength: 1, maxLength: 6 }),
    cut: fc.option(fc.nat(length), { freq: 10 }),
  })
}

export function damagedCopy(file: Uint8Array, damage: Damage): Uint8Array<ArrayBuffer> {
  const copy = file.slice(0, damage.cut ?? file.length) as Uint8Array<ArrayBuffer>
  for (const [at, bytes] of damage.changes) {
    bytes.forEach((byte, i) => { if (at + i < copy.length) copy[at + i] = byte })
  }
  return copy
}

export function boundedFile(path: string, bytes: Uint8Array<ArrayBuffer>): MemoryFile {
  const file = new MemoryFile(path, bytes)
  file.isFull = (at, length) => at + length > MAX_BYTES
  return file
}

/** Runs what may fail in the ways that are ours to fail in, and reads no more than it should. */
export async function attempt(file: MemoryFile, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const isExpected = error instanceof StorageError || error instanceof HostFileError
    assert(isExpected, `${error instanceof Error ? error.stack : error}`)
  }
  assert(file.reads <= MAX_READS, `${file.reads} reads`)
}
