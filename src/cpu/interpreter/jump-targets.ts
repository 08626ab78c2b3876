/**
 * Where indirect jumps, calls and returns went: noted by the interpreter, for who translates code
 * around them.
 *
 * A hash table of edges in core memory: the record of the jump, and its target counted from the
 * start of the jump's page, up to 2 GiB away. It holds what fits: an edge that finds its place
 * taken takes away from the other's count, until that has none left.
 */
import { i32, i64, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { coreMap, JUMP_TARGET_BITS } from '../core-memory.ts'
import { loadControl64 } from './core-fields.ts'
import { CORE, partSignatures } from './parts.ts'

/** Of an edge, in bytes: all are 32-bit words. */
const edge = { record: 0, offset: 4, count: 8 } as const
const EDGE_SHIFT = 4
/** 2^32 divided by the golden ratio. */
const SPREAD = 0x9e3779b1

/** Where a jump went, counted from the start of its page, and about how often. */
export interface JumpTarget {
  readonly offset: number
  readonly count: number
}

/** Builds (record, rip) -> record: an indirect jump, which is noted. */
export function buildJumpAndNote(module: ModuleBuilder, jump: FunctionReference): FunctionBuilder {
  const f = module.function(partSignatures.jumpIndirect)
  const [record, rip] = f.parameters as [Local, Local]
  const distance = f.local('i64')
  const offset = f.local('i32')
  const at = f.local('i32')
  const count = i32.load(CORE, at, coreMap.jumpTargets + edge.count)
  const put = (place: number, value: Parameters<typeof f.set>[1]): void =>
    f.store('i32', CORE, at, value, coreMap.jumpTargets + place)
  f.set(distance, i64.sub(rip, loadControl64('codePage')))
  f.set(offset, i32.wrap(distance))
  f.if(i64.eq(i64.extendS(offset), distance), (done) => {
    const mixed = i32.mul(i32.xor(record, offset), i32.const(SPREAD))
    f.set(at, i32.shl(i32.shrU(mixed, i32.const(32 - JUMP_TARGET_BITS)), i32.const(EDGE_SHIFT)))
    const isKnown = i32.and(
      i32.eq(i32.load(CORE, at, coreMap.jumpTargets + edge.record), record),
      i32.eq(i32.load(CORE, at, coreMap.jumpTargets + edge.offset), offset))
    f.if(isKnown, () => {
      put(edge.count, i32.add(count, i32.const(1)))
      f.br(done)
    })
    f.if(i32.gtU(count, i32.const(1)), () => {
      put(edge.count, i32.sub(count, i32.const(1)))
      f.br(done)
    })
    put(edge.record, record)
    put(edge.offset, offset)
    put(edge.count, i32.const(1))
  })
  f.returnCall(jump, rip)
  return f
}

/** The table, as TypeScript sees it. */
export class JumpTargets {
  readonly #words: Int32Array

  constructor(core: ArrayBuffer) {
    this.#words = new Int32Array(core, coreMap.jumpTargets, 4 << JUMP_TARGET_BITS)
  }

  /** Where each record's jump went. */
  byRecord(): ReadonlyMap<number, readonly JumpTarget[]> {
    const found = new Map<number, JumpTarget[]>()
    for (let i = 0; i < this.#words.length; i += 4) {
      const record = this.#words[i]!
      if (record === 0) continue
      const target = { offset: this.#words[i + 1]!, count: this.#words[i + 2]! >>> 0 }
      const others = found.get(record)
      if (others) others.push(target)
      else found.set(record, [target])
    }
    return found
  }

  /** Forgets all: the records are gone. */
  clear(): void {
    this.#words.fill(0)
  }
}
