/**
 * Translation through the TLBs, with the page walk behind them, and how its faults are reported.
 */
import { call, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { CR4, EFER, Vector } from '../../abi/x86/control.ts'
import { Stop } from '../core-memory.ts'
import {
  Access, contextWord, controlAt, controlWord, has, type MmuEnvironment, type MmuGlobals,
} from './environment.ts'
import { entryOf, hits, machineAddress } from './lookup.ts'
import { allowsUserData } from './entry-bits.ts'
import { PageFault } from './entry-format.ts'
import { setWord } from './spaces.ts'

/**
 * (linear i64, access i32, error code i32) -> FAULT: reports a page fault with P and RSVD as given,
 * or, when they are -1, a non-canonical address.
 */
export function buildRaise(
  module: ModuleBuilder, env: MmuEnvironment, globals: MmuGlobals, dropPage: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32'], result: 'i64' })
  const [linear, access, code] = f.parameters as [Local, Local, Local]
  const set = (field: Parameters<typeof controlAt>[0], value: Expression): void => {
    f.store(value.type === 'i64' ? 'i64' : 'i32', env.core, i32.const(0), value, controlAt(field))
  }
  f.if(has(access, Access.PROBE), () => f.return(i64.const(-1)))
  f.setGlobal(globals.status, i32.const(Stop.FAULT))
  set('stop', i32.const(Stop.FAULT))
  set('faultHasErrorCode', i32.const(1))
  f.if(i32.ltS(code, i32.const(0)), () => {
    const stack = i32.and(i32.shrU(access, i32.const(5)), i32.const(1))
    set('faultVector', i32.sub(i32.const(Vector.GP), stack))
    set('faultErrorCode', i32.const(0))
    f.return(i64.const(-1))
  })
  // A page fault forgets what is known of the page (SDM 3A, 4.10.4.1).
  f.call(dropPage, linear)
  const kind = i32.shl(has(access, Access.WRITE | Access.USER), i32.const(1))
  f.set(code, i32.or(code, kind))
  f.if(has(access, Access.EXEC), () => {
    const cr4 = contextWord(env, 'cr4')
    const nx = i32.and(i32.shrU(cr4, i32.const(5)),
      i32.shrU(contextWord(env, 'efer'), i32.const(11)))
    const smep = i32.shrU(cr4, i32.const(20))
    const reported = i32.and(i32.or(nx, smep), i32.const(1))
    f.set(code, i32.or(code, i32.shl(reported, i32.const(4))))
  })
  set('faultVector', i32.const(Vector.PF))
  set('faultErrorCode', code)
  set('faultAddress', linear)
  f.return(i64.const(-1))
  return f
}

/** The shifts above say in numbers what these names say. */
const positions: readonly (readonly [number, number])[] = [
  [CR4.PAE, 5], [CR4.SMEP, 20], [EFER.NXE, 11], [Access.STACK, 5], [PageFault.ID, 4],
]
for (const [bit, position] of positions) {
  if (bit !== 1 << position) throw new Error(`bit ${bit} is not at ${position}`)
}

/**
 * (linear i64, access i32) -> i64: as the walk, but asks the data TLBs first. For data accesses
 * without PROBE.
 */
export function buildTranslate(
  module: ModuleBuilder, env: MmuEnvironment, walk: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32'], result: 'i64' })
  const [linear, access] = f.parameters as [Local, Local]
  const entry = f.local('i64')
  const table = f.local('i32')
  const lookUp = (set: 'userSet' | 'supervisorSet'): void => {
    f.set(table, setWord(env, controlWord(env, set), 'tables'))
    f.if(has(access, Access.WRITE), () => f.set(entry, entryOf(env.core, table, linear, true)),
      () => f.set(entry, entryOf(env.core, table, linear, false)))
    f.if(hits(linear, entry), () => f.return(i64.extendU(machineAddress(linear, entry))))
  }
  f.if(has(access, Access.USER), () => lookUp('userSet'), () => {
    lookUp('supervisorSet')
    f.if(allowsUserData(env, access), () => lookUp('userSet'))
  })
  f.return(call(walk, linear, access))
  return f
}
