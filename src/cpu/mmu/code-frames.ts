/**
 * Frames that hold decoded code: a store to one takes the slow path, because no TLB entry for
 * stores leads there, and is told of when it is to a line with code.
 */
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'
import type { MmuEnvironment } from './environment.ts'
import { emitUnuse, emitUse } from './frame-uses.ts'
import { emitEmptyStores } from './store-entries.ts'

/** A bit for each machine frame, at a place in core memory. */
function frameBit(env: MmuEnvironment, bitmap: number, machine: Expression): Expression {
  const byte = i32.load8U(env.core, i32.shrU(machine, i32.const(15)), bitmap)
  return i32.and(i32.shrU(byte, bitOf(machine)), i32.const(1))
}

function bitOf(machine: Expression): Expression {
  return i32.and(i32.shrU(machine, i32.const(12)), i32.const(7))
}

function emitSetBit(
  f: FunctionBuilder, env: MmuEnvironment, bitmap: number, machine: Expression, to: boolean,
): void {
  const byte = i32.load8U(env.core, i32.shrU(machine, i32.const(15)), bitmap)
  const bit = i32.shl(i32.const(1), bitOf(machine))
  const next = to ? i32.or(byte, bit) : i32.and(byte, i32.xor(bit, i32.const(-1)))
  f.store('i32As8', env.core, i32.shrU(machine, i32.const(15)), next, bitmap)
}

/** 1 when the frame of a machine address holds decoded code. */
export function holdsCode(env: MmuEnvironment, machine: Expression): Expression {
  return frameBit(env, coreMap.codeBitmap, machine)
}

/** (machine address i32, bytes i32) -> i32: not zero when lines with code are among the bytes of
 * one frame that holds code; what lies beyond the frame does not count. */
export function buildHoldsLines(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i32', 'i32'], result: 'i32' })
  const [machine, bytes] = f.parameters as [Local, Local]
  const last = f.local('i32')
  const offset = i32.and(machine, i32.const(0xfff))
  f.set(last, i32.sub(i32.add(offset, bytes), i32.const(1)))
  f.if(i32.gtU(last, i32.const(0xfff)), () => f.set(last, i32.const(0xfff)))
  const lineOf = (place: Expression): Expression => i64.extendU(i32.shrU(place, i32.const(6)))
  const from = i64.shl(i64.const(-1), lineOf(offset))
  const to = i64.shrU(i64.const(-1), i64.sub(i64.const(63), lineOf(last)))
  const place = i32.shl(i32.shrU(machine, i32.const(12)), i32.const(3))
  const lines = i64.load(env.core, place, coreMap.codeLines)
  f.return(i64.ne(i64.and(lines, i64.and(from, to)), i64.const(0)))
  return f
}

/** (machine address i32): stores to a frame may follow, some of them through a TLB entry. */
export function buildNoteStores(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i32'] })
  const [machine] = f.parameters as [Local]
  f.if(frameBit(env, coreMap.storeBitmap, machine), () => f.return())
  emitSetBit(f, env, coreMap.storeBitmap, machine, true)
  emitUse(f, env, machine, 'storing')
  return f
}

/** (machine address i32): a store to the frame is a slow one again. Others are told of those that
 * were not, before it can be seen that there are none any more. */
export function buildDropStores(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i32'] })
  const [machine] = f.parameters as [Local]
  f.if(i32.eqz(frameBit(env, coreMap.storeBitmap, machine)), () => f.return())
  emitSetBit(f, env, coreMap.storeBitmap, machine, false)
  emitEmptyStores(f, env, machine)
  emitUse(f, env, machine, 'storing')
  emitUnuse(f, env, machine, 'storing')
  return f
}

/** (machine address i32): the frame holds decoded code from now on. */
export function buildMarkCode(
  module: ModuleBuilder, env: MmuEnvironment, dropStores: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i32'] })
  const [machine] = f.parameters as [Local]
  f.if(holdsCode(env, machine), () => f.return())
  emitSetBit(f, env, coreMap.codeBitmap, machine, true)
  emitUse(f, env, machine, 'decoding')
  f.call(dropStores, machine)
  return f
}

/** (machine address i32): no longer. */
export function buildClearCode(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i32'] })
  const [machine] = f.parameters as [Local]
  emitSetBit(f, env, coreMap.codeBitmap, machine, false)
  emitUnuse(f, env, machine, 'decoding')
  return f
}
