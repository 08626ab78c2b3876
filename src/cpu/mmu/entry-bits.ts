/**
 * What a walk does with single bits: who may touch user pages in spite of SMAP, and how accessed
 * and dirty bits are set while others change the entry.
 */
import { atomics, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { Access, contextWord, has, type MmuEnvironment } from './environment.ts'

const c64 = (value: number): Expression => i64.const(value)
const c32 = (value: number): Expression => i32.const(value)

/** 1 for a supervisor access that may touch user pages in spite of SMAP: EFLAGS.AC is set, and the
 * program makes it, not the processor. */
export function allowsUserData(env: MmuEnvironment, access: Expression): Expression {
  const checked = i32.shrU(contextWord(env, 'systemFlags'), c32(18))
  const explicit = i32.and(
    i32.eqz(has(access, Access.IMPLICIT)), i32.ne(contextWord(env, 'cpl'), c32(3)))
  return i32.and(checked, explicit)
}

/**
 * (address and writability i64, low half of the entry as it was read i32, bits i32, force i32) ->
 * i32: 0 when the entry is not what was read any more.
 */
export function buildSetBits(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i64', 'i32', 'i32', 'i32'], result: 'i32' })
  const [address, entry, bits, force] = f.parameters as [Local, Local, Local, Local]
  // Not writable, or no memory at all.
  f.if(i64.ne(i64.shrU(address, c64(32)), c64(1)), () => f.return(c32(1)))
  const at = i32.wrap(address)
  f.if(force, () => {
    f.drop(atomics.i32.or(env.machine, at, bits))
    f.return(c32(1))
  })
  const old = atomics.i32.cmpxchg(env.machine, at, entry, i32.or(entry, bits))
  f.return(i32.eq(old, entry))
  return f
}
