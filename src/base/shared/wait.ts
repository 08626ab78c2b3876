/**
 * Waiting for a word that another thread changes.
 *
 * That thread may have died. Who can find out, and put right what was left, says how: this thread
 * then looks around whenever it has waited for a while.
 */

const looks = new Set<() => void>()

/**
 * From now on, until the result is called, `look` is called when this thread has waited in vain;
 * what it throws ends the wait.
 */
export function whileWaiting(look: () => void): () => void {
  looks.add(look)
  return () => void looks.delete(look)
}

/** Sleeps until the word is notified, at most `timeoutMs`, unless it differs from `value`. */
export function waitWhile(
  cells: Int32Array, cell: number, value: number, timeoutMs: number,
): void {
  if (Atomics.wait(cells, cell, value, timeoutMs) !== 'timed-out') return
  for (const look of looks) look()
}
