/**
 * Data breakpoints: which of DR0 to DR3 an access touches (AMD APM 2, 13.1.3).
 *
 * Slow accesses ask while a data breakpoint is enabled; TLBs are left empty then, so that every
 * access is a slow one.
 */
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'
import { BreakOn, Watching } from '../debug.ts'
import { CpuContext } from '../state.ts'
import { controlAt, controlWord, type MmuEnvironment } from './environment.ts'

const REGISTERS = 4
/** LEN fields 0 to 3 mean 1, 2, 8 and 4 bytes: as masks of the address, a byte each. */
const MASKS = 0x03_07_01_00

/** 1 while a data breakpoint is enabled. */
export function watchesData(env: MmuEnvironment): Expression {
  return i32.and(controlWord(env, 'watching'), i32.const(Watching.DATA))
}

/** (linear i64, bytes i32, write i32): notes the breakpoints that the access touches. */
export function buildWatch(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32'] })
  const [linear, bytes, write] = f.parameters as [Local, Local, Local]
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
      i32.and(i32.eq(kind, i32.const(BreakOn.WRITE)), write))
    f.if(i32.and(i32.ne(enabled, i32.const(0)), wanted), () => {
      const behind = i64.leU(linear, i64.add(first, mask))
      const before = i64.ltU(first, i64.add(linear, i64.extendU(bytes)))
      f.if(i32.and(behind, before), () => f.set(hits, i32.or(hits, i32.const(1 << n))))
    })
  }
  f.store('i32', env.core, i32.const(0), hits, controlAt('debugHits'))
  return f
}
