/**
 * The memory accesses of a handler: TLB check in line, the MMU's functions when it misses.
 *
 * What crosses a page takes the slow path too, and so do scalars that are not aligned (lookup.ts).
 * After a slow access the handler leaves when the MMU says that it did not complete.
 */
import {
  atomics, call, constantOf, globalGet, i32, i64, simd, v128, type Expression, type Local,
} from '../../../wasm/expression.ts'
import { Vector } from '../../../abi/x86/control.ts'
import { SS } from '../../../abi/x86/registers.ts'
import { Access } from '../../mmu/environment.ts'
import { PIECES } from '../../mmu/locked.ts'
import type { AccessWidth } from '../../mmu/slow-access.ts'
import { settingEntry } from '../../mmu/micro-tlb.ts'
import {
  type AddressSymbol, MACHINE, type EngineParts, type InstructionShape, type Site,
  type SlowAccesses,
} from '../parts.ts'
import { type Sought, writeLookUp } from './look-up.ts'
import { atomicLoadOf, loadOf, storeKind } from './machine-access.ts'
import type { Locals } from './value.ts'

const loadParts = {
  8: 'load8', 16: 'load16', 32: 'load32', 64: 'load64', 128: 'load128',
} as const
const storeParts = {
  8: 'store8', 16: 'store16', 32: 'store32', 64: 'store64', 128: 'store128',
} as const

/** i64x2.replace_lane (prefix 0xfd of the core specification). */
const REPLACE_I64 = 30

/** In place of a machine address: the access went through the slow path. */
const SLOW = PIECES

/** Machine and linear address of a memory operand that is read and then written. */
export interface Place {
  readonly linear: Local
  readonly machine: Local
  readonly old: Local
}

/** -> i64: the old value at a machine address, in whose place is another one. */
type Update = (machine: Expression) => Expression

/** Loads and stores of scalars. */
export interface ScalarMemory {
  /** Loads `width` bits into `into`, zero-extended. `symbol` is what is known of the address. */
  load(address: Expression, width: number, into: Local, symbol?: AddressSymbol): void
  store(address: Expression, width: number, value: Expression, symbol?: AddressSymbol): void
}

export class MemoryAccess implements ScalarMemory {
  /** The same through SS, whatever the record says: pushes and pops. */
  readonly stack: ScalarMemory = {
    load: (address, width, into, symbol) =>
      this.#onStack(() => this.load(address, width, into, symbol)),
    store: (address, width, value, symbol) =>
      this.#onStack(() => this.store(address, width, value, symbol)),
  }

  readonly #parts: EngineParts
  readonly #site: Site
  readonly #pool: Locals
  readonly #shape: InstructionShape
  #throughStack = false
  /** Of the micro-TLB, by a slow access. */
  #entryToSet = 0

  constructor(parts: EngineParts, site: Site, pool: Locals, shape: InstructionShape) {
    this.#parts = parts
    this.#site = site
    this.#pool = pool
    this.#shape = shape
  }

  /** Leaves when what was called has noted that it did not complete. */
  leaveIfStopped(): void {
    this.#site.exits.stopIf(globalGet(this.#parts.stopped, 'i32'))
  }

  load(address: Expression, width: number, into: Local, symbol?: AddressSymbol): void {
    const { target } = this.#site
    const linear = this.#keep(address)
    this.#lookUp({ linear, width, symbol }, (machine) => {
      target.set(into, loadOf(width, machine))
    }, () => this.#loadSlow(linear, width, into))
  }

  store(address: Expression, width: number, value: Expression, symbol?: AddressSymbol): void {
    const { target } = this.#site
    const linear = this.#keep(address)
    const kept = this.#pool.take('i64')
    target.set(kept, value)
    this.#lookUp({ linear, width, symbol, write: true }, (machine) => {
      target.store(storeKind(width), MACHINE, machine, kept)
    }, () => this.#storeSlow(linear, width, kept))
  }

  /** Loads a value that `writeBack` or `exchange` will replace; faults as the write would. A locked
   * one may be replaced at once by `update`, which yields it. */
  readForWrite(
    linear: Local, width: number, machine: Local, into: Local, symbol?: AddressSymbol,
    update: Update = (place) => atomicLoadOf(width, place),
  ): void {
    const { target, tables } = this.#site
    const aligned = this.#shape.lock
    const read = (): void =>
      target.set(into, aligned ? update(machine) : loadOf(width, machine))
    this.#lookUp({ linear, width, symbol, write: true, aligned }, (found) => {
      target.set(machine, found)
      if (!tables.slow) read()
    }, () => {
      if (tables.slow) this.#reachWhole(linear, width, machine, tables.slow)
      else if (aligned) this.#reachLocked(linear, width, machine, into, update)
      else this.#loadToWrite(linear, width, machine, into)
    })
    if (tables.slow) read()
  }

  /** Where it cannot be had as a whole, the instruction stops here. */
  #reachWhole(linear: Local, width: number, machine: Local, slow: SlowAccesses): void {
    const { target, exits } = this.#site
    const part = this.#shape.lock ? 'reachWholeLocked' : 'reachWhole'
    target.set(machine, call(slow.reach(part, width / 8, this.#knownFlags()), linear))
    exits.stopIf(i32.eqz(i32.ne(machine, i32.const(SLOW))))
  }

  #loadToWrite(linear: Local, width: number, machine: Local, into: Local): void {
    const { target } = this.#site
    target.set(machine, i32.const(SLOW))
    this.probeWrite(linear, width)
    this.#loadSlow(linear, width, into)
  }

  #reachLocked(
    linear: Local, width: number, machine: Local, into: Local, update: Update,
  ): void {
    const { target } = this.#site
    target.set(machine,
      call(this.#parts.reachLocked, linear, i32.const(width / 8), this.#flags()))
    this.leaveIfStopped()
    target.if(i32.ne(machine, i32.const(SLOW)),
      () => target.set(into, update(machine)),
      () => this.#loadToWrite(linear, width, machine, into))
  }

  /** A locked exchange of 16 bytes; `values` are both halves of what is expected and wanted. */
  exchangePair(address: Expression, values: readonly Expression[], low: Local, high: Local): void {
    const { target, tables } = this.#site
    const linear = this.#keep(address)
    const machine = this.#pool.take('i32')
    const found = (place: Expression): void => target.set(machine, place)
    this.#lookUp({ linear, width: 128, write: true, aligned: true }, found, () => {
      if (tables.slow) this.#reachWhole(linear, 128, machine, tables.slow)
      else found(call(this.#parts.reachLocked, linear, i32.const(16), this.#flags()))
      this.leaveIfStopped()
    })
    const { exchangePair, exchangePieces } = this.#parts
    this.#unlessSlow(machine, () => target.setPair(low, high, exchangePair, machine, ...values),
      () => target.setPair(low, high, exchangePieces, linear, ...values, this.#flags()))
    this.leaveIfStopped()
  }

  writeBack(linear: Local, machine: Local, width: number, value: Expression): void {
    const { target } = this.#site
    const kept = this.#pool.take('i64')
    target.set(kept, value)
    this.#unlessSlow(machine, () => target.store(storeKind(width), MACHINE, machine, kept),
      () => this.#storeSlow(linear, width, kept))
  }

  /** A locked write back: starts the instruction again when somebody else wrote in between. */
  exchange(place: Place, width: number, value: Expression): void {
    const { target, exits } = this.#site
    const kept = this.#pool.take('i64')
    target.set(kept, value)
    this.#unlessSlow(place.machine, () => {
      const found = atomics.compareExchange(width, MACHINE, place.machine, place.old, kept)
      target.if(i64.ne(found, place.old), () => exits.again(true))
    }, () => this.#storeSlow(place.linear, width, kept))
  }

  /** What was not updated by `readForWrite` is written now. */
  storeUnlessUpdated({ linear, machine }: Place, width: number, value: Expression): void {
    const { target, tables } = this.#site
    if (tables.slow) return
    target.ifUnlikely(i32.eq(machine, i32.const(SLOW)), () => {
      const kept = this.#pool.take('i64')
      target.set(kept, value)
      this.#storeSlow(linear, width, kept)
    })
  }

  /** With slow accesses of its own, no operand that is written back is reached in pieces. */
  #unlessSlow(machine: Local, direct: () => void, inPieces: () => void): void {
    const { target, tables } = this.#site
    if (tables.slow) direct()
    else target.if(i32.ne(machine, i32.const(SLOW)), direct, inPieces)
  }

  loadVector(address: Expression, aligned: boolean, into: Local, symbol?: AddressSymbol): void {
    const { target } = this.#site
    const linear = this.#keep(address)
    this.#checkAlignment(linear, aligned)
    this.#lookUp({ linear, width: 128, symbol, aligned }, (machine) => {
      target.set(into, v128.load(MACHINE, machine))
    }, () => this.#loadSlow(linear, 128, into))
  }

  /** 32 or 64 bits into a vector that is zero above them. */
  loadLow(
    address: Expression, width: 32 | 64, into: Local, symbol?: AddressSymbol,
  ): void {
    const { target } = this.#site
    const linear = this.#keep(address)
    this.#lookUp({ linear, width, symbol }, (machine) => {
      target.set(into, width === 64 ? v128.load64Zero(MACHINE, machine)
        : v128.load32Zero(MACHINE, machine))
    }, () => {
      const bits = this.#pool.take('i64')
      this.#loadSlow(linear, width, bits)
      target.set(into, simd('v128', REPLACE_I64, [v128.const(0n), bits], [0]))
    })
  }

  /** A float of 32 or 64 bits. */
  storeFloat(address: Expression, value: Expression, symbol?: AddressSymbol): void {
    const { target } = this.#site
    const linear = this.#keep(address)
    const kept = this.#pool.take(value.type)
    const [kind, width] = value.type === 'f64' ? ['f64', 64] as const : ['f32', 32] as const
    target.set(kept, value)
    this.#lookUp({ linear, width, symbol, write: true }, (machine) => {
      target.store(kind, MACHINE, machine, kept)
    }, () => {
      const bits = this.#pool.take('i64')
      target.set(bits, width === 64 ? i64.reinterpret(kept) : i64.extendU(i32.reinterpret(kept)))
      this.#storeSlow(linear, width, bits)
    })
  }

  storeVector(
    address: Expression, aligned: boolean, value: Expression, symbol?: AddressSymbol,
  ): void {
    const { target } = this.#site
    const linear = this.#keep(address)
    const kept = this.#pool.take('v128')
    target.set(kept, value)
    this.#checkAlignment(linear, aligned)
    this.#lookUp({ linear, width: 128, symbol, aligned, write: true }, (machine) => {
      target.store('v128', MACHINE, machine, kept)
    }, () => this.#storeSlow(linear, 128, kept))
  }

  /** 256 bits into two locals: all or none. */
  loadHalves(
    address: Expression, aligned: boolean, low: Local, high: Local, symbol?: AddressSymbol,
  ): void {
    const { target } = this.#site
    const linear = this.#keep(address)
    this.#checkAlignment(linear, aligned, 32)
    this.#lookUp({ linear, width: 256, symbol }, (machine) => {
      target.set(low, v128.load(MACHINE, machine))
      target.set(high, v128.load(MACHINE, machine, 16))
    }, () => {
      this.#loadSlow(linear, 128, low)
      this.#loadSlow(i64.add(linear, i64.const(16)), 128, high)
    })
  }

  storeHalves(
    address: Expression, aligned: boolean, low: Expression, high: Expression,
    symbol?: AddressSymbol,
  ): void {
    const { target } = this.#site
    const linear = this.#keep(address)
    const [first, second] = [this.#pool.take('v128'), this.#pool.take('v128')]
    target.set(first, low)
    target.set(second, high)
    this.#checkAlignment(linear, aligned, 32)
    this.#lookUp({ linear, width: 256, symbol, write: true }, (machine) => {
      target.store('v128', MACHINE, machine, first)
      target.store('v128', MACHINE, machine, second, 16)
    }, () => {
      this.probeWrite(linear, 256)
      this.#storeSlow(linear, 128, first)
      this.#storeSlow(i64.add(linear, i64.const(16)), 128, second)
    })
  }

  /** Leaves when a write would fault. */
  probeWrite(address: Expression, width: number): void {
    this.#site.target.drop(
      call(this.#parts.probeWrite, address, i32.const(width / 8), this.#flags()))
    this.leaveIfStopped()
  }

  #onStack(access: () => void): void {
    this.#throughStack = true
    access()
    this.#throughStack = false
  }

  #checkAlignment(linear: Local, aligned: boolean, bytes = 16): void {
    if (!aligned) return
    const { target, exits } = this.#site
    target.ifUnlikely(i32.and(i32.wrap(linear), i32.const(bytes - 1)), () => {
      target.call(this.#parts.raise, i32.const(Vector.GP), i32.const(0), i32.const(1))
      exits.stop()
    })
  }

  #keep(address: Expression): Local {
    const linear = this.#pool.take('i64')
    this.#site.target.set(linear, address)
    return linear
  }

  #storeSlow(linear: Expression, width: number, value: Local): void {
    const { exits, tables } = this.#site
    const part = storeParts[width as AccessWidth]
    exits.stopIf(tables.slow
      ? call(tables.slow.store(part, this.#knownFlags()), linear, value)
      : call(this.#parts[part], linear, value, this.#flags()))
  }

  #loadSlow(linear: Expression, width: number, into: Local): void {
    const { target, exits, tables } = this.#site
    const part = loadParts[width as AccessWidth]
    if (!tables.slow) {
      target.set(into, call(this.#parts[part], linear, this.#flags()))
      this.leaveIfStopped()
      return
    }
    const status = this.#pool.take('i32')
    target.setPair(into, status, tables.slow.load(part, this.#knownFlags()), linear)
    exits.stopIf(status)
  }

  #knownFlags(): number {
    return Number(constantOf(this.#flags())) | settingEntry(this.#entryToSet)
  }

  /** How the MMU is to take the access; a stack segment makes bad addresses #SS. */
  #flags(): Expression {
    const ordinary = i32.const(Access.CURRENT | this.#site.tables.access)
    const segment = this.#throughStack ? i32.const(SS) : this.#site.operands.segment()
    const known = constantOf(segment)
    if (known === undefined) {
      return i32.or(ordinary, i32.shl(i32.eq(segment, i32.const(SS)), i32.const(5)))
    }
    return known === SS
      ? i32.const(Access.CURRENT | Access.STACK | this.#site.tables.access) : ordinary
  }

  /** Runs `hit` with the machine address when the TLB has the whole access, else `miss`. */
  #lookUp(sought: Sought, hit: (machine: Expression) => void, miss: () => void): void {
    const { target, tables } = this.#site
    writeLookUp({ target, tables, pool: this.#pool, isLocked: this.#shape.lock }, sought, hit,
      (entryToSet) => {
        this.#entryToSet = entryToSet
        miss()
        this.#entryToSet = 0
      })
  }
}
