/**
 * Locked accesses that the inline path misses (AMD APM 2, 7.3.2).
 *
 * An aligned access to memory is one atomic access of WebAssembly wherever it is. All others (not
 * aligned, across pages, beyond memory, to a line that holds decoded code, looked at by
 * breakpoints) are made in pieces, for which the processor must have the bus for itself. While
 * others share it, the instruction stops with Stop.BUS_LOCK, and nothing of it has happened.
 */
import { call, globalGet, i32, i64, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { Stop } from '../core-memory.ts'
import { controlAt, controlWord, type MmuEnvironment, type MmuGlobals } from './environment.ts'
import { entryOf, hits } from './lookup.ts'
import { emitSetEntry } from './micro-tlb.ts'
import { watchesAccesses } from './watch.ts'

/** In place of a machine address: the access is made in pieces. */
export const PIECES = -1

export interface LockedFunctions {
  /** Stops while others share the bus. */
  readonly lockBus: FunctionBuilder
  /** (linear i64, bytes i32, flags i32) -> i32: the machine address for a read and a write, PIECES,
   * or anything with the status set. */
  readonly reachLocked: FunctionBuilder
  /** The same for compiled code, of an operand that is not locked, and of one that is: where it
   * would be PIECES, the instruction is left to its service. */
  readonly reachWhole: FunctionBuilder
  readonly reachWholeLocked: FunctionBuilder
}

export function buildLocked(
  module: ModuleBuilder, env: MmuEnvironment, globals: MmuGlobals, probeWrite: FunctionBuilder,
): LockedFunctions {
  const lockBus = module.function({ parameters: [] })
  lockBus.if(controlWord(env, 'busShared'), () => {
    lockBus.store('i32', env.core, i32.const(0), i32.const(Stop.BUS_LOCK), controlAt('stop'))
    lockBus.setGlobal(globals.status, i32.const(Stop.BUS_LOCK))
  })
  const reach = buildReach(module, env, probeWrite)
  const reachLocked = buildReachLocked(module, reach, lockBus)
  return {
    lockBus, reachLocked,
    reachWhole: buildReachWhole(module, env, globals, reach),
    reachWholeLocked: buildReachWhole(module, env, globals, reachLocked),
  }
}

/** (linear i64, bytes i32, flags i32) -> i32: the machine address for a read and a write, or
 * PIECES, with the status set when it faults. */
function buildReach(
  module: ModuleBuilder, env: MmuEnvironment, probeWrite: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32'], result: 'i32' })
  const [linear, bytes, flags] = f.parameters as [Local, Local, Local]
  const place = f.local('i64')
  f.set(place, call(probeWrite, linear, bytes, flags))
  f.if(i32.or(i64.ltS(place, i64.const(0)), watchesAccesses(env)),
    () => f.return(i32.const(PIECES)))
  f.return(i32.wrap(place))
  return f
}

function buildReachWhole(
  module: ModuleBuilder, env: MmuEnvironment, globals: MmuGlobals, reach: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32'], result: 'i32' })
  const [linear, bytes, flags] = f.parameters as [Local, Local, Local]
  const place = f.local('i32')
  const entry = f.local('i64')
  const tables = controlWord(env, 'tables')
  f.set(entry, entryOf(env.core, tables, linear, true))
  f.if(hits(linear, entry), () => emitSetEntry(f, env.core, { flags, tables, linear, entry }))
  f.set(place, call(reach, linear, bytes, flags))
  const isInPieces = i32.eq(place, i32.const(PIECES))
  f.if(i32.and(isInPieces, i32.eqz(globalGet(globals.status, 'i32'))), () => {
    f.store('i32', env.core, i32.const(0), i32.const(Stop.DEFER), controlAt('stop'))
  })
  f.return(place)
  return f
}

function buildReachLocked(
  module: ModuleBuilder, reach: FunctionBuilder, lockBus: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32'], result: 'i32' })
  const [linear, bytes, flags] = f.parameters as [Local, Local, Local]
  const place = f.local('i32')
  f.set(place, call(reach, linear, bytes, flags))
  const offset = i32.and(i32.wrap(linear), i32.sub(bytes, i32.const(1)))
  f.if(i32.eqz(i32.or(offset, i32.eq(place, i32.const(PIECES)))), () => f.return(place))
  f.call(lockBus)
  f.return(i32.const(PIECES))
  return f
}
