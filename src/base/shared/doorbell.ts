/**
 * A doorbell: a word that counts rings, on which one thread sleeps and which any may ring.
 *
 * The sleeper reads the count, looks for work, and sleeps only while the count stays what it read,
 * so a ring between look and sleep is never lost.
 */
export function ring(cells: Int32Array, address: number): void {
  Atomics.add(cells, address >>> 2, 1)
  Atomics.notify(cells, address >>> 2)
}

/** The count to hand to `sleep`, read before looking for work. */
export function ringCount(cells: Int32Array, address: number): number {
  return Atomics.load(cells, address >>> 2)
}

/** Sleeps until the count differs from `seen`, at most `timeoutMs`. */
export function sleep(
  cells: Int32Array, address: number, seen: number, timeoutMs: number,
): void {
  Atomics.wait(cells, address >>> 2, seen, timeoutMs)
}
