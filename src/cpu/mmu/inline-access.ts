/**
 * Memory accesses as they stand in generated code: the TLB hit inline, the rest as a call.
 *
 * A hit costs eleven WebAssembly operations up to the access itself, three more when it can cross a
 * page. The entry of a page is `linear XOR machine`, so a hit is an exclusive or whose upper half
 * is zero and whose lower half is the machine address.
 */
import { call, globalGet, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { Access } from './environment.ts'
import type { MmuFunctions } from './mmu.ts'
import { machineLoad, machineStore, type AccessWidth } from './slow-access.ts'
import { emitLookup } from './tlb.ts'

/** Parts of a function's accesses that may be left out. */
export interface AccessOptions {
  /** Access.STACK for accesses through SS. */
  readonly stack?: boolean
  /** Bytes that `linear` is known to be aligned to. */
  readonly alignment?: number
}

/** Emits accesses into one function, which lends it one local variable. */
export class InlineAccess {
  readonly #mmu: MmuFunctions
  readonly #f: FunctionBuilder
  /** The exclusive or; after a hit, the machine address. */
  readonly #hit: Local

  constructor(mmu: MmuFunctions, f: FunctionBuilder) {
    this.#mmu = mmu
    this.#f = f
    this.#hit = f.local('i64')
  }

  /** Loads `width` bits, zero-extended, into `target` (i64; v128 for 128 bits); branches to
   * `stopped` when the access did not happen, with CoreControl.stop saying why. */
  load(
    linear: Local, width: AccessWidth, target: Local, stopped: Label, options: AccessOptions = {},
  ): void {
    const f = this.#f
    const { env, globals, slow } = this.#mmu
    this.#attempt(linear, width, globals.readTable, options, () => {
      f.set(target, machineLoad[width](env.machine, this.#machine()))
    }, () => {
      f.set(target, call(slow.load[width], linear, this.#flags(options)))
      f.brIf(stopped, globalGet(globals.status, 'i32'))
    })
  }

  /** Stores the low `width` bits of `value` (i64, or v128), which must have no effects. */
  store(
    linear: Local, width: AccessWidth, value: Expression, stopped: Label,
    options: AccessOptions = {},
  ): void {
    const f = this.#f
    const { env, globals, slow } = this.#mmu
    this.#attempt(linear, width, globals.writeTable, options, () => {
      f.store(machineStore[width], env.machine, this.#machine(), value)
    }, () => {
      f.brIf(stopped, call(slow.store[width], linear, value, this.#flags(options)))
    })
  }

  /** As `load`, for an operand that will be written: faults are those of a write. `place` (i64)
   * becomes its machine address, or negative; it is for `writeBack`, or for an atomic access when
   * it is not negative. */
  loadForWrite(
    linear: Local, width: AccessWidth, target: Local, place: Local, stopped: Label,
    options: AccessOptions = {},
  ): void {
    const f = this.#f
    const { env, globals, slow } = this.#mmu
    f.block((loaded) => {
      this.probeWrite(linear, width, place, stopped, options)
      f.if(i64.geS(place, i64.const(0)), () => {
        f.set(target, machineLoad[width](env.machine, i32.wrap(place)))
        f.br(loaded)
      })
      f.set(target, call(slow.load[width], linear, this.#flags(options)))
      f.brIf(stopped, globalGet(globals.status, 'i32'))
    })
  }

  /** Finds where `width` bits may be written: sets `place` to the machine address, or to a negative
   * number when `store` must be used. */
  probeWrite(
    linear: Local, width: AccessWidth, place: Local, stopped: Label, options: AccessOptions = {},
  ): void {
    const f = this.#f
    const { globals, slow } = this.#mmu
    this.#attempt(linear, width, globals.writeTable, options, () => f.set(place, this.#hit), () => {
      f.set(place, call(slow.probeWrite, linear, i32.const(width / 8), this.#flags(options)))
      f.brIf(stopped, globalGet(globals.status, 'i32'))
    })
  }

  /** Writes what `loadForWrite` loaded; does not fault, but may stop for MMIO. */
  writeBack(
    linear: Local, width: AccessWidth, value: Expression, place: Local, stopped: Label,
    options: AccessOptions = {},
  ): void {
    const f = this.#f
    const { env, slow } = this.#mmu
    f.if(i64.geS(place, i64.const(0)), () => {
      f.store(machineStore[width], env.machine, i32.wrap(place), value)
    }, () => {
      f.brIf(stopped, call(slow.store[width], linear, value, this.#flags(options)))
    })
  }

  #machine(): Expression {
    return i32.wrap(this.#hit)
  }

  #flags(options: AccessOptions): Expression {
    const access = globalGet(this.#mmu.globals.access, 'i32')
    return options.stack ? i32.or(access, i32.const(Access.STACK)) : access
  }

  #attempt(
    linear: Local, width: AccessWidth, table: number, options: AccessOptions,
    hit: () => void, missed: () => void,
  ): void {
    const f = this.#f
    const bytes = width / 8
    f.block((done) => {
      f.block((miss) => {
        f.set(this.#hit, emitLookup(this.#mmu.env, linear, globalGet(table, 'i32')))
        f.brIf(miss, i32.wrap(i64.shrU(this.#hit, i64.const(32))))
        if (bytes > (options.alignment ?? 1)) {
          const offset = i32.and(i32.wrap(linear), i32.const(0xfff))
          f.brIf(miss, i32.gtU(offset, i32.const(0x1000 - bytes)))
        }
        hit()
        f.br(done)
      })
      missed()
    })
  }
}
