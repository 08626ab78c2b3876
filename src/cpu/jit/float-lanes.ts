/**
 * What the lanes of vectors are known to be, as far as the instructions of a path tell: bounds of
 * doubles or singles (fpu/float-bounds.ts), unless something was noted (fpu/denormals.ts).
 */
import { eitherOf, type FloatBounds } from '../fpu/float-bounds.ts'
import type { Value } from '../interpreter/reading/value.ts'

export type FloatWidth = 32 | 64

export interface FloatLanes {
  readonly width: FloatWidth
  /** Of each lane, if anything is known of it. */
  readonly bounds: readonly (FloatBounds | undefined)[]
}

const ZERO: FloatBounds = { low: 0, high: 0 }

function lanesOf(width: FloatWidth, boundsOf: (lane: number) => FloatBounds | undefined) {
  return Array.from({ length: 128 / width }, (_, lane) => boundsOf(lane))
}

const nothing = { 32: lanesOf(32, () => undefined), 64: lanesOf(64, () => undefined) }

/** What holds of both. */
export function commonLanes(
  a: FloatLanes | undefined, b: FloatLanes | undefined,
): FloatLanes | undefined {
  if (!a || a.width !== b?.width) return undefined
  return { width: a.width, bounds: a.bounds.map((one, lane) => eitherOf(one, b.bounds[lane])) }
}

/** What an instruction learns of its values. */
export class KnownFloats {
  readonly #vectors = new Map<Value, FloatLanes>()
  readonly #scalars = new Map<Value, { width: FloatWidth, bounds: FloatBounds }>()

  /** What is known of the lanes of a vector. */
  lanesOf(vector: Value, width: FloatWidth): readonly (FloatBounds | undefined)[] {
    const known = this.#vectors.get(vector)
    if (known) return known.width === width ? known.bounds : nothing[width]
    const { shape } = vector
    if (shape.kind === 'constant' && shape.value === 0n) return lanesOf(width, () => ZERO)
    if (shape.kind !== 'low' && shape.kind !== 'zeroAbove' || shape.width !== width) {
      return nothing[width]
    }
    const lowest = shape.kind === 'low' ? this.scalarOf(shape.of, width) : undefined
    return lanesOf(width, (lane) => lane === 0 ? lowest : ZERO)
  }

  /** Lanes of either width, of which something is known. */
  lanesOfAny(vector: Value): FloatLanes | undefined {
    return ([64, 32] as const).map((width) => ({ width, bounds: this.lanesOf(vector, width) }))
      .find(({ bounds }) => bounds.some((lane) => lane !== undefined))
  }

  scalarOf(scalar: Value, width: FloatWidth): FloatBounds | undefined {
    const known = this.#scalars.get(scalar)
    if (known?.width === width) return known.bounds
    const { shape } = scalar
    return shape.kind === 'lane' && shape.width === width
      ? this.lanesOf(shape.of, width)[shape.index] : undefined
  }

  noteLanes(vector: Value, known: FloatLanes | undefined): void {
    if (known) this.#vectors.set(vector, known)
  }

  noteScalar(scalar: Value, width: FloatWidth, bounds: FloatBounds): void {
    this.#scalars.set(scalar, { width, bounds })
  }

  /** A vector with another lane. */
  noteReplaced(
    result: Value, vector: Value, width: FloatWidth, index: number, scalar: Value,
  ): void {
    const bounds = this.lanesOf(vector, width).with(index, this.scalarOf(scalar, width))
    this.noteLanes(result, { width, bounds })
  }

  /** A vector of lanes of two others, by byte numbers as a shuffle has them. */
  noteShuffle(result: Value, a: Value, b: Value, bytes: readonly number[]): void {
    const known = this.lanesOfAny(a) ?? this.lanesOfAny(b)
    if (!known) return
    const { width } = known
    const size = width / 8
    const both = [...this.lanesOf(a, width), ...this.lanesOf(b, width)]
    const bounds = lanesOf(width, (lane) => {
      const from = bytes.slice(lane * size, (lane + 1) * size)
      const first = from[0]!
      const isWhole = first % size === 0 && from.every((byte, index) => byte === first + index)
      return isWhole ? both[first / size] : undefined
    })
    this.noteLanes(result, { width, bounds })
  }
}
