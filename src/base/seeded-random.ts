/**
 * Random numbers that a seed determines: SplitMix32, by a hash of the seed's text. For runs that
 * can be repeated, not for secrets.
 */
export class SeededRandom {
  #state = 0x811c_9dc5

  constructor(seed: string) {
    // FNV-1a.
    for (const byte of new TextEncoder().encode(seed)) {
      this.#state = Math.imul(this.#state ^ byte, 0x0100_0193)
    }
  }

  /** 32 random bits. */
  word(): number {
    this.#state = this.#state + 0x9e37_79b9 | 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ mixed >>> 16, 0x21f0_aaad)
    mixed = Math.imul(mixed ^ mixed >>> 15, 0x735a_2d97)
    return (mixed ^ mixed >>> 15) >>> 0
  }

  /** A whole number from 0 to below `bound`. */
  below(bound: number): number {
    return this.word() % bound
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.word() & 0xff)
  }
}
