/**
 * A doorbell: a word that counts rings, on which one thread sleeps and which any may ring, and the
 * next word, which says whether one does: to wake a thread takes long even when there is none.
 *
 * The sleeper reads the count, looks for work, says that it sleeps, and sleeps only while the count
 * stays what it read. Who rings counts first, and then looks for a sleeper. So one of the two sees
 * the other, and a ring between look and sleep is never lost.
 */
import { atomic, u32 } from '../layout/scalar.ts'
import { struct } from '../layout/struct.ts'

export const Doorbell = struct('doorbell', { count: atomic(u32), asleep: atomic(u32) })

const COUNT = Doorbell.offsets.count >>> 2
const ASLEEP = Doorbell.offsets.asleep >>> 2

export function ring(cells: Int32Array, address: number): void {
  const word = address >>> 2
  Atomics.add(cells, word + COUNT, 1)
  if (Atomics.load(cells, word + ASLEEP) !== 0) Atomics.notify(cells, word + COUNT)
}

/** The count to hand to `sleep`, read before looking for work. */
export function ringCount(cells: Int32Array, address: number): number {
  return Atomics.load(cells, (address >>> 2) + COUNT)
}

/** Sleeps until the count differs from `seen`, at most `timeoutMs`. */
export function sleep(
  cells: Int32Array, address: number, seen: number, timeoutMs: number,
): void {
  const word = address >>> 2
  Atomics.store(cells, word + ASLEEP, 1)
  Atomics.wait(cells, word + COUNT, seen, timeoutMs)
  Atomics.store(cells, word + ASLEEP, 0)
}

/** Resolves once the count differs from `seen`: for a thread that has other things to do. */
export async function rung(cells: Int32Array, address: number, seen: number): Promise<void> {
  const word = address >>> 2
  Atomics.store(cells, word + ASLEEP, 1)
  await Atomics.waitAsync(cells, word + COUNT, seen).value
  Atomics.store(cells, word + ASLEEP, 0)
}
