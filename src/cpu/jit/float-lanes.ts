/**
 * Which lanes of vectors hold no denormals, as far as the instructions of a path tell: see
 * fpu/denormals.ts. What is known is of lanes of one width, doubles or singles.
 */
import type { Value } from '../interpreter/reading/value.ts'

export type FloatWidth = 32 | 64

export interface FloatLanes {
  readonly width: FloatWidth
  /** A bit for each lane. */
  readonly lanes: number
}

export const allLanes = (width: FloatWidth): number => (1 << 128 / width) - 1

/** What an instruction learns of its values. */
export class KnownFloats {
  readonly #vectors = new Map<Value, FloatLanes>()
  readonly #scalars = new Map<Value, FloatWidth>()

  /** The lanes of a vector that are known, as bits. */
  lanesOf(vector: Value, width: FloatWidth): number {
    const known = this.#vectors.get(vector)
    if (known) return known.width === width ? known.lanes : 0
    const { shape } = vector
    if (shape.kind === 'constant' && shape.value === 0n) return allLanes(width)
    if (shape.kind !== 'low' || shape.width !== width) return 0
    return allLanes(width) & ~1 | (this.knowsScalar(shape.of, width) ? 1 : 0)
  }

  /** Lanes of either width, of which something is known. */
  lanesOfAny(vector: Value): FloatLanes | undefined {
    return ([64, 32] as const).map((width) => ({ width, lanes: this.lanesOf(vector, width) }))
      .find(({ lanes }) => lanes !== 0)
  }

  knowsScalar(scalar: Value, width: FloatWidth): boolean {
    if (this.#scalars.get(scalar) === width) return true
    const { shape } = scalar
    return shape.kind === 'lane' && shape.width === width
      && (this.lanesOf(shape.of, width) >> shape.index & 1) === 1
  }

  noteLanes(vector: Value, known: FloatLanes | undefined): void {
    if (known) this.#vectors.set(vector, known)
  }

  noteScalar(scalar: Value, width: FloatWidth): void {
    this.#scalars.set(scalar, width)
  }

  /** A vector of lanes of two others, by byte numbers as a shuffle has them. */
  noteShuffle(result: Value, a: Value, b: Value, bytes: readonly number[]): void {
    const known = this.lanesOfAny(a) ?? this.lanesOfAny(b)
    if (!known) return
    const { width } = known
    const size = width / 8
    const both = this.lanesOf(a, width) | this.lanesOf(b, width) << 16 / size
    let lanes = 0
    for (let lane = 0; lane * size < 16; lane++) {
      const from = bytes.slice(lane * size, (lane + 1) * size)
      const first = from[0]!
      const isWhole = first % size === 0 && from.every((byte, index) => byte === first + index)
      if (isWhole && both >> first / size & 1) lanes |= 1 << lane
    }
    this.noteLanes(result, { width, lanes })
  }
}
