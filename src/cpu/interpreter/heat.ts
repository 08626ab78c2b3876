/**
 * Counting how often a record is jumped to, up to a limit at which it is hot.
 */
import { i32, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'
import { CORE } from './parts.ts'
import { RECORD_SHIFT } from './record.ts'

export interface Heat {
  /** At most 65535; 0 when nobody counts. */
  readonly heatLimit: number
  /** Is called with a record that was jumped to `heatLimit` times. */
  readonly hot: FunctionReference
}

function placeOf(record: Local): Expression {
  return i32.shrU(i32.sub(record, i32.const(coreMap.records)), i32.const(RECORD_SHIFT - 1))
}

/** Makes a record seem to have been jumped to `count` times. */
export function emitSetHeat(f: FunctionBuilder, record: Local, count: number): void {
  f.store('i32As16', CORE, placeOf(record), i32.const(count), coreMap.heat)
}

/** Counts one jump to a record; `then` comes after `hot`. Else `count` is how often there was one,
 * if that is below the limit. */
export function emitHeat(
  f: FunctionBuilder, record: Local, count: Local, { heatLimit, hot }: Heat, then: () => void,
): void {
  if (heatLimit === 0) return
  const limit = i32.const(heatLimit)
  const place = placeOf(record)
  f.set(count, i32.load16U(CORE, place, coreMap.heat))
  f.if(i32.ltU(count, limit), () => {
    f.set(count, i32.add(count, i32.const(1)))
    f.store('i32As16', CORE, place, count, coreMap.heat)
    f.if(i32.eq(count, limit), () => {
      f.call(hot, record)
      then()
    })
  })
}
