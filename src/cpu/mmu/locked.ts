/**
 * Locked accesses that the inline path misses (AMD APM 2, 7.3.2).
 *
 * An aligned access to memory is one atomic access of WebAssembly wherever it is. All others (not
 * aligned, across pages, beyond memory, to a line that holds decoded code, looked at by
 * breakpoints) are made in pieces, for which the processor must have the bus for itself. While
 * others share it, the instruction stops with Stop.BUS_LOCK, and nothing of it has happened.
 *
 * WebAssembly has no exchange of 16 bytes. Kernels, which use it often, are given one of two
 * exchanges of 8 under a lock that no processor waits for: who finds it taken stops for the bus.
 * Stores by others are not lost, and of those that exchange 16 bytes none sees half of it; who
 * merely reads may see, for some nanoseconds, the new lower half beside the old upper one. Programs
 * wait for the bus.
 */
import { atomics, call, globalGet, i32, i64, type Local, select } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { Stop } from '../core-memory.ts'
import { contextWord, controlAt, controlWord, type MmuEnvironment, type MmuGlobals } from
  './environment.ts'
import { entryOf, hits } from './lookup.ts'
import { emitSetEntry } from './micro-tlb.ts'
import type { SlowFunctions } from './slow-access.ts'
import { watchesAccesses } from './watch.ts'

/** In place of a machine address: the access is made in pieces. */
export const PIECES = -1

export interface LockedFunctions {
  /** (linear i64, bytes i32, flags i32) -> i32: the machine address for a read and a write, PIECES,
   * or anything with the status set. */
  readonly reachLocked: FunctionBuilder
  /** The same for compiled code, of an operand that is not locked, and of one that is: where it
   * would be PIECES, the instruction is left to its service. */
  readonly reachWhole: FunctionBuilder
  readonly reachWholeLocked: FunctionBuilder
  /** (machine i32, both halves expected i64, both halves wanted i64) -> i64, i64: both halves that
   * were there, or anything with the status set. */
  readonly exchangePair: FunctionBuilder
  /** (linear i64, the same four, flags i32): in pieces, while nobody shares the bus. */
  readonly exchangePieces: FunctionBuilder
}

export function buildLocked(
  module: ModuleBuilder, env: MmuEnvironment, globals: MmuGlobals, slow: SlowFunctions,
): LockedFunctions {
  const lockBus = module.function({ parameters: [] })
  lockBus.if(controlWord(env, 'busShared'), () => {
    lockBus.store('i32', env.core, i32.const(0), i32.const(Stop.BUS_LOCK), controlAt('stop'))
    lockBus.setGlobal(globals.status, i32.const(Stop.BUS_LOCK))
  })
  const reach = buildReach(module, env, slow.probeWrite)
  const reachLocked = buildReachLocked(module, reach, lockBus)
  return {
    reachLocked,
    reachWhole: buildReachWhole(module, env, globals, reach),
    reachWholeLocked: buildReachWhole(module, env, globals, reachLocked),
    exchangePair: buildExchangePair(module, env, lockBus),
    exchangePieces: buildExchangePieces(module, globals, slow),
  }
}

function buildExchangePair(
  module: ModuleBuilder, env: MmuEnvironment, lockBus: FunctionBuilder,
): FunctionBuilder {
  const f = module.function(
    { parameters: ['i32', 'i64', 'i64', 'i64', 'i64'], result: 'i64', second: 'i64' })
  const [place, oldLow, oldHigh, newLow, newHigh] =
    f.parameters as [Local, Local, Local, Local, Local]
  const upper = i32.add(place, i32.const(8))
  const [low, high, found] = [f.local('i64'), f.local('i64'), f.local('i64')]
  const pairLock = env.pairLock === undefined ? undefined : i32.const(env.pairLock)
  if (pairLock) {
    f.if(controlWord(env, 'busShared'), () => {
      f.if(contextWord(env, 'cpl'), () => {
        f.call(lockBus)
        f.returnPair(i64.const(0), i64.const(0))
      })
      f.set(found, atomics.compareExchange(32, env.machine, pairLock, i64.const(0), i64.const(1)))
      f.if(i64.ne(found, i64.const(0)), () => {
        f.call(lockBus)
        f.returnPair(i64.const(0), i64.const(0))
      })
    })
  }
  f.set(low, atomics.i64.load(env.machine, place))
  f.set(high, atomics.i64.load(env.machine, upper))
  f.if(i32.and(i64.eq(low, oldLow), i64.eq(high, oldHigh)), () => {
    f.set(low, atomics.compareExchange(64, env.machine, place, oldLow, newLow))
    f.if(i64.eq(low, oldLow), () => {
      f.set(high, atomics.compareExchange(64, env.machine, upper, oldHigh, newHigh))
      f.if(i64.ne(high, oldHigh), () =>
        f.drop(atomics.compareExchange(64, env.machine, place, newLow, oldLow)))
    })
  })
  if (pairLock) {
    f.if(controlWord(env, 'busShared'), () =>
      f.drop(atomics.update('xchg', 32, env.machine, pairLock, i64.const(0))))
  }
  f.returnPair(low, high)
  return f
}

function buildExchangePieces(
  module: ModuleBuilder, globals: MmuGlobals, { load, store, probeWrite }: SlowFunctions,
): FunctionBuilder {
  const f = module.function(
    { parameters: ['i64', 'i64', 'i64', 'i64', 'i64', 'i32'], result: 'i64', second: 'i64' })
  const [linear, oldLow, oldHigh, newLow, newHigh, flags] =
    f.parameters as [Local, Local, Local, Local, Local, Local]
  const upper = i64.add(linear, i64.const(8))
  const [low, high, equal] = [f.local('i64'), f.local('i64'), f.local('i32')]
  const leaveIfStopped = (): void =>
    f.if(globalGet(globals.status, 'i32'), () => f.returnPair(low, high))
  f.drop(call(probeWrite, linear, i32.const(16), flags))
  leaveIfStopped()
  f.set(low, call(load[64], linear, flags))
  leaveIfStopped()
  f.set(high, call(load[64], upper, flags))
  leaveIfStopped()
  f.set(equal, i32.and(i64.eq(low, oldLow), i64.eq(high, oldHigh)))
  f.drop(call(store[64], linear, select(newLow, low, equal), flags))
  leaveIfStopped()
  f.drop(call(store[64], upper, select(newHigh, high, equal), flags))
  f.returnPair(low, high)
  return f
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
