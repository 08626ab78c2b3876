/**
 * What a region does not compute in line of doubles, as functions of the region's own module:
 * (x, y) -> the result and what `unsettled` is from then on.
 *
 * While MXCSR does not say yet that some result was inexact, nothing is done in line, and what
 * counts in doubles stays so for long. So they answer what is exact themselves
 * (fpu/exact-doubles.ts), as what is known of operands and result lets them; the rest is the
 * engine's.
 */
import {
  call, f64, i32, i64, type Expression, type Local, type ValueType,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { unsettledOrNoted } from '../fpu/denormals.ts'
import { areExactDoubles, areFar, isExactDouble, pairOf } from '../fpu/exact-doubles.ts'
import { floatVectorNumber } from '../fpu/float-lanes.ts'
import { floatNumber } from '../fpu/float-number.ts'
import { NOT_YET_INEXACT } from '../fpu/float-state.ts'
import { isFar } from '../fpu/inline-float.ts'
import type { EngineParts } from '../interpreter/parts.ts'
import type { KnownOfDoubles } from '../interpreter/reading/float-state.ts'

/** How an operation is written. */
interface Writing {
  readonly compute: (x: Expression, y: Expression) => Expression
  readonly isExact: (x: Expression, y: Expression, value: Expression) => Expression
  readonly isFar: (value: Expression) => Expression
  readonly engine: (x: Local, y: Local) => Expression
}

export class SlowFloats {
  readonly #module: ModuleBuilder
  readonly #parts: EngineParts
  readonly #made = new Map<string, FunctionBuilder>()

  constructor(module: ModuleBuilder, parts: EngineParts) {
    this.#module = module
    this.#parts = parts
  }

  /** (x, y) -> the result and the state, of operands of a type; undefined for operations of which
   * nothing is answered here. */
  find(op: string, type: ValueType, of: KnownOfDoubles): FunctionReference | undefined {
    if (type === 'f64' && Object.hasOwn(isExactDouble, op)) {
      const name = op as keyof typeof isExactDouble
      return this.#once(type, op, of, {
        compute: f64[name], isExact: isExactDouble[name],
        isFar: (value) => isFar(i64.reinterpret(value)),
        engine: (x, y) => f64.reinterpret(call(this.#parts.floatNoting,
          i32.const(floatNumber(name, 64)), i64.reinterpret(x), i64.reinterpret(y))),
      })
    }
    if (type !== 'v128' || !Object.hasOwn(areExactDoubles, op)) return undefined
    const name = op as keyof typeof areExactDoubles
    return this.#once(type, op, of, {
      compute: pairOf[name], isExact: areExactDoubles[name], isFar: areFar,
      engine: (x, y) =>
        call(this.#parts.floatVectorNoting, i32.const(floatVectorNumber(name, 64)), x, y),
    })
  }

  #once(
    type: 'f64' | 'v128', op: string, { known, bounded }: KnownOfDoubles, writing: Writing,
  ): FunctionReference {
    const name = [type, op, ...known, bounded].join(' ')
    const made = this.#made.get(name)
    if (made) return made
    const f = this.#module.function({ parameters: [type, type], result: type, second: 'i32' })
    const [x, y] = f.parameters as [Local, Local]
    const value = f.local(type)
    f.block((usual) => {
      f.brIf(usual, i32.ne(unsettledOrNoted(), i32.const(NOT_YET_INEXACT)))
      f.set(value, writing.compute(x, y))
      f.brIf(usual, i32.eqz(writing.isExact(x, y, value)))
      const asked = [x, y].filter((_, index) => !known[index])
      if (bounded !== 'normal') asked.push(value)
      for (const one of asked) f.brIf(usual, writing.isFar(one))
      f.returnPair(value, i32.const(NOT_YET_INEXACT))
    })
    f.set(value, writing.engine(x, y))
    f.returnPair(value, unsettledOrNoted())
    this.#made.set(name, f)
    return f
  }
}
