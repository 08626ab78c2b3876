/**
 * The guest's registers in a region's locals: loaded where the region is entered; stored where it
 * is left, as far as they may have been written (written-registers.ts). What is not kept in locals
 * stays in core memory. Flags do: as most of them only wait (flag-state.ts), their slots are hardly
 * looked at, and would take registers all the way.
 */
import { assert } from '../../base/assert.ts'
import {
  constantOf, i32, i64, v128, type Expression, Local, type ValueType,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { Z } from '../interpreter/core-fields.ts'
import { CORE } from '../interpreter/parts.ts'
import { CoreState, type StateFile } from '../interpreter/reading/state-file.ts'
import { CpuContext } from '../state.ts'
import type { WrittenRegisters } from './written-registers.ts'

const at = CpuContext.offsets
const GPR_END = at.gpr + 16 * 8
const VECTOR_END = at.vector + 16 * 32

interface Kept {
  readonly local: Local
  /** As a bit of sets of registers. */
  readonly bit: bigint
  /** What its lowest bits were when they were last written alone: see lowPart. */
  low: Local | undefined
}

export class LocalState implements StateFile {
  readonly #target: FunctionBuilder
  readonly #memory: CoreState
  readonly #written: WrittenRegisters
  readonly #kept = new Map<number, Kept>()
  #all = 0n
  #node = 0

  constructor(target: FunctionBuilder, written: WrittenRegisters) {
    this.#target = target
    this.#written = written
    this.#memory = new CoreState(target)
  }

  /** What follows is the code of a node's block. */
  enterBlock(node: number): void {
    this.#node = node
  }

  load(address: Expression, width: number): Expression {
    const place = placeOf(address)
    if (place === at.zero) return i64.const(0n)
    const high = isGpr(place) && (place & 1) === 1
    const kept = this.#keep(high ? place - 1 : place, 'i64')
    if (!kept) return this.#memory.load(address, width)
    const whole = kept.local
    if (high) return i64.and(i64.shrU(whole, i64.const(8)), i64.const(0xff))
    switch (width) {
      case 8: return i64.and(whole, i64.const(0xff))
      case 16: return i64.and(whole, i64.const(0xffff))
      case 32: return i64.extendU(i32.wrap(whole))
      default: return whole
    }
  }

  store(address: Expression, width: number, value: Expression): void {
    const place = placeOf(address)
    const high = isGpr(place) && (place & 1) === 1
    const kept = this.#keep(high ? place - 1 : place, 'i64')
    if (!kept) {
      this.#memory.store(address, width, value)
      return
    }
    this.#noteWrite(kept)
    const whole = kept.local
    if (width === 64) {
      this.#target.set(whole, value)
      return
    }
    const mask = (1n << BigInt(width)) - 1n
    const part = kept.low ??= this.#target.local('i64')
    this.#target.set(part, i64.and(value, i64.const(mask)))
    const shift = high ? 8n : 0n
    this.#target.set(whole, i64.or(i64.and(whole, i64.const(~(mask << shift))),
      high ? i64.shl(part, i64.const(shift)) : part))
  }

  /** The part of a general register that was written last, if only parts of it were since all of it
   * was: it can be had without the rest. */
  lowPart(address: Expression): Expression {
    return this.#kept.get(placeOf(address))!.low!
  }

  loadVector(address: Expression): Expression {
    return this.#keep(placeOf(address), 'v128')?.local ?? this.#memory.loadVector(address)
  }

  storeVector(address: Expression, value: Expression): void {
    const kept = this.#keep(placeOf(address), 'v128')
    if (!kept) {
      this.#memory.storeVector(address, value)
      return
    }
    this.#noteWrite(kept)
    this.#target.set(kept.local, value)
  }

  /** Loads everything that is kept. */
  emitLoads(): void {
    for (const [place, { local }] of this.#kept) {
      this.#target.set(local, local.type === 'v128' ? v128.load(CORE, Z, place)
        : i64.load(CORE, Z, place))
    }
  }

  /** Stores registers; by default, all that are written anywhere. */
  emitStores(registers = this.#all): void {
    for (const [place, { local, bit }] of this.#kept) {
      if ((registers & bit) === 0n) continue
      this.#target.store(local.type === 'v128' ? 'v128' : 'i64', CORE, Z, local, place)
    }
  }

  #noteWrite({ bit }: Kept): void {
    this.#all |= bit
    this.#written.note(this.#node, bit)
  }

  #keep(place: number, type: ValueType): Kept | undefined {
    const isKept = type === 'v128'
      ? place >= at.vector && place < VECTOR_END
      : isGpr(place)
    if (!isKept) return undefined
    let kept = this.#kept.get(place)
    if (!kept) {
      const bit = 1n << BigInt(this.#kept.size)
      kept = { local: this.#target.local(type), bit, low: undefined }
      this.#kept.set(place, kept)
    }
    return kept
  }
}

function isGpr(place: number): boolean {
  return place >= at.gpr && place < GPR_END
}

function placeOf(address: Expression): number {
  const place = constantOf(address)
  assert(typeof place === 'number', 'a region knows its registers')
  return place
}
