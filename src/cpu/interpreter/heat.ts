/**
 * Counting how often a record is jumped to, up to a limit at which it is hot.
 */
import { i32, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference } from '../../wasm/module.ts'
import { CORE } from './parts.ts'
import { field } from './record.ts'

export interface Heat {
  /** At most 65535; 0 when nobody counts. */
  readonly heatLimit: number
  /** Is called with a record that was jumped to `heatLimit` times. */
  readonly hot: FunctionReference
}

/** Makes a record seem to have been jumped to `count` times. */
export function emitSetHeat(f: FunctionBuilder, record: Local, count: number): void {
  f.store('i32As16', CORE, record, i32.const(count), field.heat)
}

/** Counts one jump to a record; `then` comes after `hot`. Else `count` is how often there was one,
 * if that is below the limit. */
export function emitHeat(
  f: FunctionBuilder, record: Local, count: Local, { heatLimit, hot }: Heat, then: () => void,
): void {
  if (heatLimit === 0) return
  const limit = i32.const(heatLimit)
  f.set(count, i32.load16U(CORE, record, field.heat))
  f.if(i32.ltU(count, limit), () => {
    f.set(count, i32.add(count, i32.const(1)))
    f.store('i32As16', CORE, record, count, field.heat)
    f.if(i32.eq(count, limit), () => {
      f.call(hot, record)
      then()
    })
  })
}
