/**
 * Byte strings for decoder tests: random ones, and ones built like instructions.
 */

/** Numbers from a seed: xorshift32, good enough for bytes. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0 || 1
  }

  next(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return x >>> 0
  }

  below(limit: number): number {
    return (this.next() >>> 4) % limit
  }
}

const PREFIXES = [0x66, 0xf2, 0xf3, 0x67, 0x2e, 0x64, 0x65, 0x36, 0xf0, 0x3e, 0x26]

/** Fills `slots` of 15 bytes: prefixes sometimes, an opcode of any map, then random bytes. */
export function fillSlots(slots: Uint8Array, random: Random, long: boolean): void {
  for (let at = 0; at < slots.length; at += 15) {
    const end = Math.min(at + 15, slots.length)
    let position = at
    for (let more = random.below(8); more >= 5 && position < at + 6; more = random.below(8)) {
      slots[position++] = PREFIXES[random.below(PREFIXES.length)]!
    }
    if (long && random.below(2) === 0) slots[position++] = 0x40 | random.below(16)
    const map = random.below(8)
    if (map >= 2 && map < 7) slots[position++] = 0x0f
    if (map === 5) slots[position++] = 0x38
    if (map === 6) slots[position++] = 0x3a
    if (map === 7) {
      slots[position++] = 0xc4
      slots[position++] = random.below(8) << 5 | 1 + random.below(3)
    }
    while (position < end) slots[position++] = random.below(256)
    // Register forms half of the time are rare otherwise.
    if (random.below(4) === 0 && at + 3 < end) slots[at + 3]! |= 0xc0
  }
}
