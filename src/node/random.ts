/**
 * Random numbers for guests (RDRAND) and for our own secrets, from the system.
 */
import { randomFillSync } from 'node:crypto'

const pool = new Uint32Array(1024)
let next = pool.length

/** 32 random bits. */
export function randomWord(): number {
  if (next === pool.length) {
    randomFillSync(pool)
    next = 0
  }
  return pool[next++] ?? 0
}
