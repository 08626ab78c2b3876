/**
 * A growing byte buffer with the number encodings of the WebAssembly binary format
 * (WebAssembly core specification 2.0, chapter 5).
 */
export class Bytes {
  #data = new Uint8Array(256)
  #length = 0

  get length(): number {
    return this.#length
  }

  byte(value: number): void {
    if (this.#length === this.#data.length) this.#grow(1)
    this.#data[this.#length++] = value
  }

  append(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#data.length) this.#grow(bytes.length)
    this.#data.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Unsigned LEB128 of a number below 2^32. */
  u32(value: number): void {
    let rest = value >>> 0
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    this.byte(rest)
  }

  /** Signed LEB128 of a 32-bit number. */
  s32(value: number): void {
    let rest = value | 0
    for (;;) {
      const group = rest & 0x7f
      rest >>= 7
      if ((rest === 0 && (group & 0x40) === 0) || (rest === -1 && (group & 0x40) !== 0)) {
        this.byte(group)
        return
      }
      this.byte(group | 0x80)
    }
  }

  /** Signed LEB128 of a 64-bit number, taken modulo 2^64. */
  s64(value: bigint): void {
    let rest = BigInt.asIntN(64, value)
    for (;;) {
      const group = Number(rest & 0x7fn)
      rest >>= 7n
      if ((rest === 0n && (group & 0x40) === 0) || (rest === -1n && (group & 0x40) !== 0)) {
        this.byte(group)
        return
      }
      this.byte(group | 0x80)
    }
  }

  name(text: string): void {
    const bytes = new TextEncoder().encode(text)
    this.u32(bytes.length)
    this.append(bytes)
  }

  /** `content` with its length before it, as sections and function bodies are written. */
  sized(content: Bytes): void {
    this.u32(content.length)
    this.append(content.view())
  }

  /** The bytes written so far; valid until the next write. */
  view(): Uint8Array {
    return this.#data.subarray(0, this.#length)
  }

  #grow(more: number): void {
    const data = new Uint8Array(Math.max(this.#data.length * 2, this.#length + more))
    data.set(this.#data)
    this.#data = data
  }
}
