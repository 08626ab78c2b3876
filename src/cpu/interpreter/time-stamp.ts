/**
 * The time stamp counter as guests read it.
 *
 * Asking the host's clock takes as long as a hundred instructions. So an answer serves for some
 * instructions more (the window): it counts on at a tick for eight of them, which is slower than
 * anything that does work is executed. Each reading is at least a tick later than whatever any
 * processor of the machine was told before, so that time goes forward everywhere, and that takes
 * longer than a tick. A run begins with nothing known, and so does what follows a block of memory;
 * so the clock is asked after whatever may take long or tells the guest the time in another way.
 * docs/decisions/0021-time-between-instructions.md says why guests cannot tell.
 */
import { atomics, call, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { controlAt, loadControl32, loadControl64, Z } from './core-fields.ts'
import { CORE, MACHINE, partSignatures } from './parts.ts'

/** CoreControl.tscUntil while the clock has to be asked. */
export const TSC_UNKNOWN = 0x7fff_ffff

/** Log2 of the instructions in which a tick passes. */
const SHIFT = 3

export interface TimeStampPlan {
  /** For how many instructions an answer serves; 0: each reading asks. */
  readonly window: number
  /** Machine address of the latest that one of several processors was told. */
  readonly toldAt?: number
}

/** -> the part `tsc`, with CoreControl.budget noted; `ask` is imported: () -> f64. */
export function buildTimeStamp(
  module: ModuleBuilder, ask: FunctionReference, { window, toldAt }: TimeStampPlan,
): FunctionBuilder {
  const f = module.function(partSignatures.tsc)
  const asked = i64.truncSatF64S(call(ask))
  if (window === 0) {
    f.return(asked)
    return f
  }
  const now = f.local('i64')
  const left = f.local('i32')
  f.set(left, loadControl32('budget'))
  f.if(i32.gtS(left, loadControl32('tscUntil')), () => {
    const since = i32.sub(i32.add(loadControl32('tscUntil'), i32.const(window)), left)
    f.set(now, i64.add(loadControl64('tscAsked'),
      i64.extendS(i32.shrS(since, i32.const(SHIFT)))))
  }, () => {
    f.set(now, asked)
    f.store('i64', CORE, Z, now, controlAt('tscAsked'))
    f.store('i32', CORE, Z, i32.sub(left, i32.const(window)), controlAt('tscUntil'))
  })
  if (toldAt === undefined) tell(f, now)
  else tellAll(f, now, i32.const(toldAt))
  f.return(now)
  return f
}

/** Makes `now` later than what was told before. */
function keepLater(f: FunctionBuilder, now: Local, told: Expression): void {
  f.if(i64.leS(now, told), () => f.set(now, i64.add(told, i64.const(1))))
}

function tell(f: FunctionBuilder, now: Local): void {
  keepLater(f, now, loadControl64('tscTold'))
  f.store('i64', CORE, Z, now, controlAt('tscTold'))
}

/** The same among several processors, whoever of them was told. */
function tellAll(f: FunctionBuilder, now: Local, at: Expression): void {
  const told = f.local('i64')
  f.loop((again) => {
    f.set(told, atomics.i64.load(MACHINE, at))
    keepLater(f, now, told)
    f.brIf(again, i64.ne(atomics.compareExchange(64, MACHINE, at, told, now), told))
  })
}

/** The next reading asks the clock. */
export function forgetTime(f: FunctionBuilder): void {
  f.store('i32', CORE, Z, i32.const(TSC_UNKNOWN), controlAt('tscUntil'))
}
