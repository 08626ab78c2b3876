/**
 * What the writer of the kill tests writes, so that the test knows it too: batches of requests that
 * do not overlap, each sector stamped with the number of its request.
 */
const SECTOR = 512
export const KILL_SECTORS = 16_384
const BATCH = 8

export interface Request {
  readonly kind: 'write' | 'zero' | 'discard'
  readonly at: number
  readonly sectors: number
  readonly stamp: number
}

export function batchOf(seed: number, batch: number): Request[] {
  let state = Math.imul(seed * 7919 + batch + 1, 2654435761) >>> 0
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state >>> 8) % below
  }
  const slot = KILL_SECTORS / BATCH
  return Array.from({ length: BATCH }, (_, i) => {
    const sectors = 1 + next(next(4) === 0 ? 300 : 16)
    return {
      kind: (['write', 'write', 'write', 'write', 'zero', 'discard'] as const)[next(6)]!,
      at: i * slot + next(slot - sectors), sectors, stamp: seed * 1_000_000 + batch * BATCH + i + 1,
    }
  })
}

export function stamped(request: Request): Uint8Array {
  const bytes = new Uint8Array(request.sectors * SECTOR)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < bytes.length; at += 4) view.setUint32(at, request.stamp)
  return bytes
}
