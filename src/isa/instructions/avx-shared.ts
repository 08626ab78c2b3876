/**
 * What the families of AVX instructions that have no SSE form have in common.
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition, type Row } from '../definition.ts'
import type { Operand } from '../operand.ts'

/** A vector of 128 or 256 bits, as halves; the upper one of a shorter operand is zero. */
export type Halves<V> = readonly [V, V]

export function readWhole<V>(m: Backend<V>, operand: Operand): Halves<V> {
  if (operand.width === 256) return m.readHalves(operand)
  return [m.readVector(operand), m.vectorConst(0n)]
}

/** Writes as many halves as the operand has, and clears the rest of a register. */
export function writeWhole<V>(m: Backend<V>, operand: Operand, [low, high]: Halves<V>): void {
  if (operand.width === 256) m.writeHalves(operand, low, high)
  else if (operand.kind === 'xmm') m.writeHalves(operand, low, m.vectorConst(0n))
  else m.writeVector(operand, low)
}

/** The same computed for each half that `operand` has. */
export function eachHalf<V>(
  m: Backend<V>, operand: Operand, compute: (half: 0 | 1) => V,
): Halves<V> {
  const low = compute(0)
  return [low, operand.width === 256 ? compute(1) : m.vectorConst(0n)]
}

/** The encodings of 128 and 256 bits; in `codes` the size of the operands that grow is X. */
export function bothLengths(pattern: string, codes: string, feature: string): Row[] {
  return (['l0', 'l1'] as const).map((l) => {
    const sized = codes.replaceAll('X', l === 'l0' ? 'x' : 'qq').split(' ')
    return row(pattern.replace('vex.', `vex.${l}.`), ...sized).cpuid(feature)
  })
}

/** `b` is undefined in forms with one source. */
type Halfwise = <V>(
  m: Backend<V>, a: V, b: V | undefined, immediate: V | undefined, half: 0 | 1,
) => V

/** An instruction whose halves do not meet: from those of its sources to that of its result. */
export function halfwise(
  name: string, rows: readonly Row[],
  compute: Halfwise,
): Definition {
  return define(name, {
    encodings: rows,
    execute(m, target, first, second, last) {
      m.avxCheck()
      const two = second !== undefined && second.kind !== 'immediate'
      const b = two ? readWhole(m, second) : undefined
      const a = readWhole(m, first!)
      const order = two ? last : second
      const immediate = order && m.immediate(order)
      writeWhole(m, target!, eachHalf(m, target!,
        (half) => compute(m, a[half], b?.[half], immediate, half)))
    },
  })
}
