/**
 * Where a decoder puts what it unpacks: one flat array that grows up to a declared maximum, so that
 * a hostile input can cost no more memory than its caller allowed.
 */

/** Thrown when packed data contradicts its own format, or would unpack to more than allowed. */
export class CompressionError extends Error {
  override readonly name = 'CompressionError'
}

export function tooLarge(limit: number): CompressionError {
  return new CompressionError(`the data unpacks to more than the ${limit} bytes allowed`)
}

/** How much a decoder may produce. */
export interface OutputBounds {
  /** The most bytes that may come out; one more is an error. */
  readonly limit: number
  /** The size expected, if known: saves growing, promises nothing. */
  readonly sizeHint?: number
}

const FIRST_CAPACITY = 64 * 1024

export class Output {
  bytes: Uint8Array
  length = 0
  readonly limit: number

  constructor(bounds: OutputBounds) {
    this.limit = bounds.limit
    this.bytes = new Uint8Array(Math.min(bounds.limit, bounds.sizeHint ?? FIRST_CAPACITY))
  }

  /** Makes room for `count` more bytes, or says that the limit forbids them. */
  reserve(count: number): void {
    const needed = this.length + count
    if (needed > this.limit) {
      throw tooLarge(this.limit)
    }
    if (needed > this.bytes.length) this.#grow(needed)
  }

  /** Makes room for `count` more bytes, or for as many as the limit leaves. */
  reserveUpTo(count: number): void {
    const needed = Math.min(this.length + count, this.limit)
    if (needed > this.bytes.length) this.#grow(needed)
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.bytes.set(bytes, this.length)
    this.length += bytes.length
  }

  /** What came out so far. Shares memory with this output. */
  result(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.min(this.limit, Math.max(needed, this.bytes.length * 2)))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }
}
