/**
 * Where the extended state lies in memory, for instructions that save and load it: an area in one
 * page or two, found before anything changes.
 */
import { call, globalGet, i32, i64, select, v128, type Expression, type Local }
  from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference } from '../../wasm/module.ts'
import { CODE_MODE_LONG } from '../core-memory.ts'
import { WATCHED_ACCESSES } from '../debug.ts'
import { loadControl32, loadControlRegister } from '../interpreter/core-fields.ts'
import { MACHINE } from '../interpreter/parts.ts'
import { Access } from '../mmu/environment.ts'

export interface StateAreaNeeds {
  readonly stopped: number
  /** Flags of an ordinary access. */
  readonly access: number
  /** (linear i64, access i32) -> i64: machine address for reading, or negative. */
  readonly translate: FunctionReference
  /** (linear i64, size i32, access i32) -> i64: the same for writing. */
  readonly probeWrite: FunctionReference
  /** As translate, without the TLB. */
  readonly walk: FunctionReference
}

/** What the functions return for what the service must do. */
export const DEFERRED = 1

export const has = (word: Expression, bits: number): Expression => i32.and(word, i32.const(bits))

/** The memory operand, where its pages lie. */
export class StateArea {
  readonly #f: FunctionBuilder
  readonly #needs: StateAreaNeeds
  readonly #linear: Local
  /** What an offset is added to in the first and in the second page. */
  readonly #first: Local
  readonly #second: Local
  /** Bytes in the first page: a multiple of what the area is aligned to. */
  readonly #inFirst: Local

  constructor(f: FunctionBuilder, needs: StateAreaNeeds, linear: Local) {
    this.#f = f
    this.#needs = needs
    this.#linear = linear
    this.#first = f.local('i32')
    this.#second = f.local('i32')
    this.#inFirst = f.local('i32')
    f.set(this.#inFirst,
      i32.sub(i32.const(4096), i32.and(i32.wrap(linear), i32.const(4095))))
  }

  /** 1 when the byte at `offset` is in the first page. */
  isInFirst(offset: Expression): Expression {
    return i32.ltU(offset, this.#inFirst)
  }

  /** Each finds a page, for `size` bytes of it that are written or for reading, or defers. */
  reachFirst(size?: Expression): void {
    this.#reachPage(this.#first, this.#linear, size)
  }

  reachSecond(size?: Expression): void {
    this.#reachPage(this.#second, this.#secondLinear(), size)
    this.#f.set(this.#second, i32.sub(this.#second, this.#inFirst))
  }

  /** Finds the pages of its first `size` bytes for writing, or defers. */
  reachForWrite(size: Local): void {
    const crosses = i32.gtU(size, this.#inFirst)
    // The first page must not become dirty when the second one faults.
    this.#f.if(crosses, () => this.#deferIfOutside(call(this.#needs.walk, this.#secondLinear(),
      i32.or(globalGet(this.#needs.access, 'i32'), i32.const(Access.WRITE | Access.PROBE)))))
    this.reachFirst(select(this.#inFirst, size, crosses))
    this.#f.if(crosses, () => this.reachSecond(i32.sub(size, this.#inFirst)))
  }

  #secondLinear(): Expression {
    return i64.add(this.#linear, i64.extendU(this.#inFirst))
  }

  #deferIfOutside(place: Expression): void {
    this.#f.if(i64.ltS(place, i64.const(0)), () => {
      this.#f.setGlobal(this.#needs.stopped, i32.const(0))
      this.#f.return(i32.const(DEFERRED))
    })
  }

  #reachPage(into: Local, linear: Expression, size: Expression | undefined): void {
    const f = this.#f
    const { access, probeWrite, translate } = this.#needs
    const place = f.local('i64')
    const flags = globalGet(access, 'i32')
    f.set(place, size ? call(probeWrite, linear, size, flags) : call(translate, linear, flags))
    this.#deferIfOutside(place)
    f.set(into, i32.wrap(place))
  }

  at(offset: number): Expression {
    const base = select(this.#first, this.#second, this.isInFirst(i32.const(offset)))
    return i32.add(base, i32.const(offset))
  }

  load(offset: number): Expression {
    return i64.load(MACHINE, this.at(offset))
  }

  loadVector(offset: number): Expression {
    return v128.load(MACHINE, this.at(offset))
  }

  store(offset: number, value: Expression): void {
    this.#f.store('i64', MACHINE, this.at(offset), value)
  }

  storeVector(offset: number, value: Expression): void {
    this.#f.store('v128', MACHINE, this.at(offset), value)
  }
}

export function deferIf(f: FunctionBuilder, condition: Expression): void {
  f.if(condition, () => f.return(i32.const(DEFERRED)))
}

/** Defers other code than 64-bit code, what is watched, and with one of these bits of CR0, or at
 * these of the address, set. */
export function emitCommonChecks(
  f: FunctionBuilder, linear: Local, cr0: number, low: number,
): void {
  deferIf(f, i32.ne(loadControl32('codeMode'), i32.const(CODE_MODE_LONG)))
  deferIf(f, has(loadControl32('watching'), WATCHED_ACCESSES))
  deferIf(f, has(loadControlRegister('cr0'), cr0))
  deferIf(f, has(i32.wrap(linear), low))
}
