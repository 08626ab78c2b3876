/**
 * The paging-structure cache (AMD APM 2, 5.5.3; Intel SDM 3A, 4.10.3): where the last-level page
 * tables of four-level paging lie, and what the levels above allow.
 *
 * An entry is valid while it bears the walk number of the address space in use, which INVLPG and
 * every flush change. It is made by walks that set the accessed bits above it. A walk that would
 * fault by an entry forgets it, and starts again at CR3.
 */
import { struct } from '../../base/layout/struct.ts'
import { u32, u64 } from '../../base/layout/scalar.ts'
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { coreMap } from '../core-memory.ts'
import { controlWord, type MmuEnvironment } from './environment.ts'
import { setLong } from './spaces.ts'

const ENTRIES = 1 << 10
const SHIFT = 21

const WalkEntry = struct('walk cache entry', {
  /** Linear address above bit 20. */
  tag: u64,
  /** 0: of no address space. */
  generation: u64,
  /** Machine address of the table, with bit 32 set when it may be written. */
  table: u64,
  /** AND of the entries above, of which U/S and R/W matter; 1 when one of them has NX. */
  allow: u32,
  noExecute: u32,
})

type Field = keyof typeof WalkEntry.offsets

export class WalkCache {
  readonly #f: FunctionBuilder
  readonly #env: MmuEnvironment
  readonly #linear: Local
  /** 1 when the walk goes by an entry. */
  readonly used: Local
  /** 1 when it must not. */
  readonly #bypassed: Local

  constructor(f: FunctionBuilder, env: MmuEnvironment, linear: Local) {
    this.#f = f
    this.#env = env
    this.#linear = linear
    this.used = f.local('i32')
    this.#bypassed = f.local('i32')
  }

  #at(field: Field): [slot: Expression, offset: number] {
    const region = i32.wrap(i64.shrU(this.#linear, i64.const(SHIFT)))
    const slot = i32.shl(i32.and(region, i32.const(ENTRIES - 1)),
      i32.const(Math.log2(WalkEntry.size)))
    return [slot, coreMap.walkCache + WalkEntry.offsets[field]]
  }

  #tag(): Expression {
    return i64.shrU(this.#linear, i64.const(SHIFT))
  }

  #generation(): Expression {
    return setLong(this.#env, controlWord(this.#env, 'userSet'), 'walkGeneration')
  }

  /** Runs `body` with table and rights (as 64-bit entries) when the cache knows them. */
  ifKnown(body: (table: Expression, allow: Expression, deny: Expression) => void): void {
    const load = (field: Field): Expression => i64.load(this.#env.core, ...this.#at(field))
    const fits = i32.and(i64.eq(load('tag'), this.#tag()),
      i64.eq(load('generation'), this.#generation()))
    this.#f.if(i32.and(fits, i32.eqz(this.#bypassed)), () => {
      this.#f.set(this.used, i32.const(1))
      const noExecute = i64.load32U(this.#env.core, ...this.#at('noExecute'))
      body(load('table'), i64.load32U(this.#env.core, ...this.#at('allow')),
        i64.shl(noExecute, i64.const(63)))
    })
  }

  /** Notes the table that the walk has found; both rights are 64-bit entries. */
  remember(table: Expression, allow: Expression, deny: Expression): void {
    const f = this.#f
    const store = (field: Field, value: Expression): void => {
      const [slot, offset] = this.#at(field)
      f.store(value.type === 'i64' ? 'i64' : 'i32', this.#env.core, slot, value, offset)
    }
    store('tag', this.#tag())
    store('generation', this.#generation())
    store('table', table)
    store('allow', i32.wrap(allow))
    store('noExecute', i32.wrap(i64.shrU(deny, i64.const(63))))
  }

  /** Forgets the entry that the walk went by; it must not look here again. */
  bypass(): void {
    const [slot, offset] = this.#at('generation')
    this.#f.store('i64', this.#env.core, slot, i64.const(0), offset)
    this.#f.set(this.used, i32.const(0))
    this.#f.set(this.#bypassed, i32.const(1))
  }
}
