/**
 * Reading the physical-to-machine table from generated code; p2m-format.ts describes it.
 */
import { call, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import {
  LEAF_ENTRIES, LEAF_SHIFT, P2M_MFN_SHIFT, P2M_READABLE, P2M_TYPE_MASK, P2M_WRITABLE,
} from '../p2m-format.ts'
import { controlWord, type MmuEnvironment } from './environment.ts'

/** (guest frame i32) -> its entry i32; 0, which is a hole, where the directory has nothing. */
export function buildP2mWord(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i32'], result: 'i32' })
  const [gfn] = f.parameters as [Local]
  const word = f.local('i32')
  const directory = i32.add(controlWord(env, 'p2m'),
    i32.shl(i32.shrU(gfn, i32.const(LEAF_SHIFT)), i32.const(2)))
  const index = i32.and(gfn, i32.const(LEAF_ENTRIES - 1))
  f.set(word, i32.load(env.machine, directory))
  // A superpage; what is populated on demand has no frame, and nobody looks for it.
  f.if(i32.and(word, i32.const(P2M_TYPE_MASK)), () => {
    f.return(i32.or(word, i32.shl(index, i32.const(P2M_MFN_SHIFT))))
  })
  f.if(i32.eqz(word), () => f.return(i32.const(0)))
  f.return(i32.load(env.machine, i32.or(word, i32.shl(index, i32.const(2)))))
  return f
}

/** 1 when an entry's type allows reading, or writing. */
export function readableWord(word: Expression): Expression {
  return typeIn(P2M_READABLE, word)
}

export function writableWord(word: Expression): Expression {
  return typeIn(P2M_WRITABLE, word)
}

function typeIn(set: number, word: Expression): Expression {
  const type = i32.and(word, i32.const(P2M_TYPE_MASK))
  return i32.and(i32.shrU(i32.const(set), type), i32.const(1))
}

/** Address of the first byte of an entry's frame. */
export function frameOf(word: Expression): Expression {
  return i32.shl(i32.shrU(word, i32.const(P2M_MFN_SHIFT)), i32.const(12))
}

/**
 * (guest-physical address i64) -> i64: machine address of a page table entry, with bit 32 set when
 * it may be written; negative where there is no memory.
 */
export function buildEntryAddress(
  module: ModuleBuilder, p2mWord: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i64'], result: 'i64' })
  const [at] = f.parameters as [Local]
  const word = f.local('i32')
  f.set(word, call(p2mWord, i32.wrap(i64.shrU(at, i64.const(12)))))
  f.if(i32.eqz(readableWord(word)), () => f.return(i64.const(-1)))
  const machine = i32.or(frameOf(word), i32.and(i32.wrap(at), i32.const(0xfff)))
  const writable = i64.shl(i64.extendU(writableWord(word)), i64.const(32))
  f.return(i64.or(i64.extendU(machine), writable))
  return f
}
