/**
 * Slow accesses that are looked at: which of DR0 to DR3 they touch (AMD APM 2, 13.1.3), and whether
 * they are aligned (8.2.18).
 *
 * TLBs are left empty meanwhile, so that every access is a slow one. Differs from hardware: #AC
 * comes before a page fault of the same access.
 */
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { Vector } from '../../abi/x86/control.ts'
import { coreMap, Stop } from '../core-memory.ts'
import { BreakOn, Watching, WATCHED_ACCESSES } from '../debug.ts'
import { CpuContext } from '../state.ts'
import {
  Access, controlAt, controlWord, has, type MmuEnvironment, type MmuGlobals,
} from './environment.ts'

const REGISTERS = 4
/** LEN fields 0 to 3 mean 1, 2, 8 and 4 bytes: as masks of the address, a byte each. */
const MASKS = 0x03_07_01_00

/** Not zero while accesses are looked at. */
export function watchesAccesses(env: MmuEnvironment): Expression {
  return has(controlWord(env, 'watching'), WATCHED_ACCESSES)
}

/** (linear i64, bytes i32, access i32) -> i32: 1 when the access faults. */
export function buildWatch(
  module: ModuleBuilder, env: MmuEnvironment, globals: MmuGlobals,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32'], result: 'i32' })
  const [linear, bytes, access] = f.parameters as [Local, Local, Local]
  const set = (field: Parameters<typeof controlAt>[0], value: number): void => {
    f.store('i32', env.core, i32.const(0), i32.const(value), controlAt(field))
  }
  const odd = i32.and(i32.wrap(linear), i32.sub(bytes, i32.const(1)))
  const checked = i32.ne(has(controlWord(env, 'watching'), Watching.ALIGNMENT), i32.const(0))
  f.if(i32.and(checked, i32.ne(has(access, Access.USER), i32.const(0))), () => f.if(odd, () => {
    set('faultVector', Vector.AC)
    set('faultErrorCode', 0)
    set('faultHasErrorCode', 1)
    set('stop', Stop.FAULT)
    f.setGlobal(globals.status, i32.const(Stop.FAULT))
    f.return(i32.const(1))
  }))
  emitBreakpoints(f, env, { linear, bytes, access })
  f.return(i32.const(0))
  return f
}

interface WatchedAccess {
  readonly linear: Local
  readonly bytes: Local
  readonly access: Local
}

/** Notes the breakpoints that the access touches. */
function emitBreakpoints(
  f: FunctionBuilder, env: MmuEnvironment, { linear, bytes, access }: WatchedAccess,
): void {
  const dr7 = f.local('i32')
  const kind = f.local('i32')
  const mask = f.local('i64')
  const first = f.local('i64')
  const hits = f.local('i32')
  const register = (n: number): number => coreMap.context + CpuContext.offsets.dr + n * 8
  f.set(dr7, i32.load(env.core, i32.const(0), register(7)))
  f.set(hits, controlWord(env, 'debugHits'))
  for (let n = 0; n < REGISTERS; n++) {
    f.set(kind, i32.and(i32.shrU(dr7, i32.const(16 + 4 * n)), i32.const(3)))
    const length = i32.and(i32.shrU(dr7, i32.const(18 + 4 * n)), i32.const(3))
    const code = i32.shrU(i32.const(MASKS), i32.shl(length, i32.const(3)))
    f.set(mask, i64.extendU(i32.and(code, i32.const(7))))
    const at = i64.load(env.core, i32.const(0), register(n))
    f.set(first, i64.and(at, i64.xor(mask, i64.const(-1))))
    const enabled = i32.and(i32.shrU(dr7, i32.const(2 * n)), i32.const(3))
    const wanted = i32.or(i32.eq(kind, i32.const(BreakOn.ACCESS)),
      i32.and(i32.eq(kind, i32.const(BreakOn.WRITE)), has(access, Access.WRITE)))
    f.if(i32.and(i32.ne(enabled, i32.const(0)), wanted), () => {
      const behind = i64.leU(linear, i64.add(first, mask))
      const before = i64.ltU(first, i64.add(linear, i64.extendU(bytes)))
      f.if(i32.and(behind, before), () => f.set(hits, i32.or(hits, i32.const(1 << n))))
    })
  }
  f.store('i32', env.core, i32.const(0), hits, controlAt('debugHits'))
}
