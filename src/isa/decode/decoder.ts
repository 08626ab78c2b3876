/**
 * The decoder: from bytes to an Instruction, with tables made out of the definitions' rows.
 *
 * Obeys AMD APM volume 3, chapter 1 (instruction formats, prefixes, VEX). Where AMD and Intel
 * processors differ, AMD's way is taken: 66 makes near branches 16 bits wide in 64-bit code.
 */
import { assert } from '../../base/assert.ts'
import { CS, DS, ES, FS, GS, SS } from '../../abi/x86/registers.ts'
import type { Definition } from '../definition.ts'
import type { Instruction, Operand } from '../operand.ts'
import { Decoding } from './decoding.ts'
import { type OperandReader, operandReader } from './operand-reader.ts'
import {
  MAP_0F, MAP_0F38, MAP_0F3A, MAP_BYTE, MAP_VEX, PREFIX_66, PREFIX_F2, PREFIX_F3, PREFIX_NONE,
  type Pattern, ignoresMode, patternOf,
} from './pattern.ts'

export const MAX_LENGTH = 15

export interface CodeMode {
  /** 64-bit code. */
  readonly long: boolean
  /** CS.D: operands and addresses have 32 bits outside 64-bit code; ignored in it. */
  readonly defaultSize32: boolean
}

/**
 * Why there is no instruction: it does not exist (#UD), it goes on behind the bytes given (fetch
 * more), or it is longer than 15 bytes (#GP(0)).
 */
export type NoInstruction = 'invalid' | 'truncated' | 'too-long'

/** Decodes the instruction that begins at a place in `bytes`, the first unless said otherwise. */
export type Decode = (bytes: Uint8Array, mode: CodeMode, at?: number) =>
  Instruction | NoInstruction

interface Candidate extends Pattern {
  readonly readers: readonly OperandReader[]
  /** ModRM is taken for a register whatever its mode bits say. */
  readonly forceRegister: boolean
}

/** All rows of one opcode, and for each ModRM and selector which of them it is. */
interface Slot {
  readonly candidates: readonly Candidate[]
  readonly hasModrm: boolean
  /** Number of the candidate plus 1 by ModRM << 5 | selector; NOT_FOUND, or 0: not yet sought.
   * Empty before the first is sought: programs use a third of the opcodes. */
  found: Uint8Array
}

const NOT_FOUND = 255
const SELECTOR_BITS = 5

const NO_OPERANDS: readonly Operand[] = []
const NOTHING_SOUGHT = new Uint8Array(0)

/** What a byte is as a prefix. */
const KIND_LOCK = 1
const KIND_REPEAT = 2
const KIND_OPERAND_SIZE = 3
const KIND_ADDRESS_SIZE = 4
const KIND_SEGMENT = 5
const prefixKinds = new Uint8Array(256)
prefixKinds[0xf0] = KIND_LOCK
prefixKinds[0xf2] = prefixKinds[0xf3] = KIND_REPEAT
prefixKinds[0x66] = KIND_OPERAND_SIZE
prefixKinds[0x67] = KIND_ADDRESS_SIZE
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) prefixKinds[byte] = KIND_SEGMENT

function segmentOfPrefix(byte: number): number {
  switch (byte) {
    case 0x26: return ES
    case 0x2e: return CS
    case 0x36: return SS
    case 0x3e: return DS
    case 0x64: return FS
    default: return GS
  }
}

/** Makes a decoder for the instructions of `definitions`. */
export function makeDecoder(definitions: readonly Definition[]): Decode {
  const decoder = new Decoder(slotsOf(definitions))
  return (bytes, mode, at = 0) => decoder.decode(bytes, mode, at)
}

/** Pairs of rows of which both match some bytes with equal rank: mistakes in the definitions. */
export function ambiguities(definitions: readonly Definition[]): readonly string[] {
  const found = new Set<string>()
  for (const slot of slotsOf(definitions)) {
    if (!slot) continue
    for (let key = 0; key < keysOf(slot); key++) {
      const matching = slot.candidates.filter((candidate) => matches(candidate, key))
      const best = Math.max(...matching.map((candidate) => rankOf(candidate, key)))
      const first = matching.filter((candidate) => rankOf(candidate, key) === best)
      if (first.length < 2) continue
      found.add(first.map((c) => `${c.definition.name} ${c.row.pattern}`).join(' = '))
    }
  }
  return [...found]
}

function slotsOf(definitions: readonly Definition[]): readonly (Slot | undefined)[] {
  const lists: (Candidate[] | undefined)[] = new Array<undefined>(8 * 256).fill(undefined)
  for (const definition of definitions) {
    for (const row of definition.fields.encodings) {
      const pattern = patternOf(definition, row)
      const candidate: Candidate = {
        ...pattern,
        readers: row.operands.map(operandReader),
        forceRegister: ignoresMode(row),
      }
      for (let i = 0; i < pattern.opcodes; i++) {
        const list = lists[pattern.map << 8 | pattern.opcode + i] ??= []
        list.push(candidate)
      }
    }
  }
  return lists.map((candidates) => {
    if (!candidates) return undefined
    const hasModrm = candidates[0]!.hasModrm
    assert(candidates.length < NOT_FOUND - 1, 'an opcode has at most 253 rows')
    assert(candidates.every((c) => c.hasModrm === hasModrm),
      `${candidates[0]!.row.pattern}: only some rows have ModRM`)
    return { candidates, hasModrm, found: NOTHING_SOUGHT }
  })
}

function keysOf({ hasModrm }: Slot): number {
  return (hasModrm ? 256 : 1) << SELECTOR_BITS
}

/** Whether a row is meant by a key: ModRM, REX.B (or VEX.L), long, W, and two bits of prefix. */
function matches(candidate: Candidate, key: number): boolean {
  const modrm = key >> SELECTOR_BITS
  if (!(candidate.prefixes >> (key & 3) & 1) || !(candidate.w >> (key >> 2 & 1) & 1)) return false
  if (candidate.map >= MAP_VEX && !(candidate.l >> (key >> 4 & 1) & 1)) return false
  const mode = candidate.row.properties.mode
  if (mode && (mode === 'only64') !== (key >> 3 & 1) > 0) return false
  if ((modrm & candidate.modrmMask) !== candidate.modrmValue) return false
  return candidate.form === '' || (candidate.form === 'm') === modrm < 0xc0
}

/** With REX.B, 90 is no longer NOP but XCHG r8, rAX: rows with +r beat the exact byte. */
function rankOf(candidate: Candidate, key: number): number {
  if (candidate.hasModrm || candidate.map >= MAP_VEX) return candidate.rank
  const exact = candidate.opcodes === 1
  return candidate.rank + (exact === (key >> 4 & 1) > 0 ? 0 : 128)
}

function seek(slot: Slot, key: number): number {
  let best = NOT_FOUND
  let bestRank = -1
  slot.candidates.forEach((candidate, index) => {
    if (!matches(candidate, key) || rankOf(candidate, key) <= bestRank) return
    best = index + 1
    bestRank = rankOf(candidate, key)
  })
  if (slot.found === NOTHING_SOUGHT) slot.found = new Uint8Array(keysOf(slot))
  slot.found[key] = best
  return best
}

class Decoder {
  readonly #slots: readonly (Slot | undefined)[]
  readonly #state = new Decoding()
  #lock = false
  #repeat: 0 | 0xf2 | 0xf3 = 0
  #operandSizePrefix = false
  #w = 0
  #vexPrefix = -1
  #vexL = 0
  /** All of VEX.vvvv, which must be 0 where it names nothing. */
  #vvvv = 0

  constructor(slots: readonly (Slot | undefined)[]) {
    this.#slots = slots
  }

  decode(bytes: Uint8Array, mode: CodeMode, at: number): Instruction | NoInstruction {
    const state = this.#state
    state.bytes = bytes
    const isWhole = bytes.length - at >= MAX_LENGTH
    state.start = at
    state.position = at
    state.limit = isWhole ? at + MAX_LENGTH : bytes.length
    state.short = false
    state.bad = false
    state.long = mode.long
    const result = this.#decode(mode)
    if (state.short) return isWhole ? 'too-long' : 'truncated'
    return result
  }

  #decode(mode: CodeMode): Instruction | 'invalid' {
    const state = this.#state
    const first = this.#readPrefixes(mode)
    const slotIndex = this.#readOpcode(first)
    if (slotIndex < 0) return 'invalid'
    const slot = this.#slots[slotIndex]
    if (!slot) return 'invalid'
    const opcode = slotIndex & 0xff
    state.modrm = slot.hasModrm ? state.unsigned(1) : 0xc0
    const prefix = this.#vexPrefix >= 0 ? this.#vexPrefix
      : this.#repeat ? this.#repeat === 0xf3 ? PREFIX_F3 : PREFIX_F2
      : this.#operandSizePrefix ? PREFIX_66 : PREFIX_NONE
    const isVex = slotIndex >> 8 >= MAP_VEX
    const key = prefix | this.#w << 2 | (mode.long ? 8 : 0)
      | ((isVex ? this.#vexL : state.rexB) ? 16 : 0)
      | (slot.hasModrm ? state.modrm << SELECTOR_BITS : 0)
    const found = slot.found[key] || seek(slot, key)
    if (found === NOT_FOUND) return 'invalid'
    const candidate = slot.candidates[found - 1]!
    if (isVex && !candidate.usesVvvv && this.#vvvv !== 0) return 'invalid'
    state.operandSize = this.#operandSizeOf(candidate, mode)
    state.opcodeRegister = opcode & 7 | state.rexB
    if (slot.hasModrm) state.readModrm(candidate.forceRegister)
    if (candidate.row.properties.pops) state.popBase()
    return this.#finish(candidate)
  }

  #finish(candidate: Candidate): Instruction | 'invalid' {
    const state = this.#state
    const readers = candidate.readers
    const count = readers.length
    let operands = NO_OPERANDS
    if (count === 1) operands = [readers[0]!(state)]
    else if (count === 2) operands = [readers[0]!(state), readers[1]!(state)]
    else if (count > 2) operands = readers.map((read) => read(state))
    if (state.bad) return 'invalid'
    const properties = candidate.row.properties
    if (this.#lock && !(properties.lock && operands[0]!.kind === 'memory')) return 'invalid'
    return {
      definition: candidate.definition,
      row: candidate.row,
      length: state.position - state.start,
      operands,
      operandSize: state.operandSize as 16 | 32 | 64,
      addressSize: state.addressSize,
      segment: state.segment,
      repeat: properties.string ? this.#repeat : 0,
      lock: this.#lock,
      modrm: state.modrm,
    }
  }

  /** Reads prefixes, and returns the byte behind them. */
  #readPrefixes(mode: CodeMode): number {
    const state = this.#state
    this.#lock = false
    this.#repeat = 0
    this.#operandSizePrefix = false
    this.#w = 0
    this.#vexPrefix = -1
    state.rex = false
    state.rexR = state.rexX = state.rexB = 0
    state.override = -1
    let addressSizePrefix = false
    let rex = 0
    let byte = 0
    for (; !state.short;) {
      byte = state.unsigned(1)
      const kind = prefixKinds[byte]!
      if (kind === 0) {
        if (!mode.long || byte >> 4 !== 4) break
        rex = byte
        continue
      }
      // A REX prefix counts only directly before the opcode.
      rex = 0
      if (kind === KIND_SEGMENT) this.#override(byte, mode.long)
      else if (kind === KIND_OPERAND_SIZE) this.#operandSizePrefix = true
      else if (kind === KIND_REPEAT) this.#repeat = byte === 0xf2 ? 0xf2 : 0xf3
      else if (kind === KIND_LOCK) this.#lock = true
      else addressSizePrefix = true
    }
    if (mode.long) state.addressSize = addressSizePrefix ? 32 : 64
    else state.addressSize = mode.defaultSize32 === addressSizePrefix ? 16 : 32
    if (rex) {
      state.rex = true
      this.#w = rex >> 3 & 1
      state.rexR = rex << 1 & 8
      state.rexX = rex << 2 & 8
      state.rexB = rex << 3 & 8
    }
    return byte
  }

  #override(byte: number, long: boolean): void {
    // In 64-bit code the prefixes of ES, CS, SS and DS have no effect at all.
    if (!long || byte >= 0x64) this.#state.override = segmentOfPrefix(byte)
  }

  /** Index of the opcode's slot, or -1 for a VEX prefix that cannot stand here. */
  #readOpcode(first: number): number {
    const state = this.#state
    if (first === 0x0f) {
      const second = state.unsigned(1)
      if (second === 0x38) return MAP_0F38 << 8 | state.unsigned(1)
      if (second === 0x3a) return MAP_0F3A << 8 | state.unsigned(1)
      return MAP_0F << 8 | second
    }
    if (first === 0xc4 || first === 0xc5) {
      const long = state.long
      if (long || state.position < state.limit && state.bytes[state.position]! >= 0xc0) {
        return this.#readVex(first === 0xc4)
      }
      if (state.position >= state.limit) state.short = true
    }
    return MAP_BYTE << 8 | first
  }

  #readVex(three: boolean): number {
    const state = this.#state
    let payload = state.unsigned(1)
    let map = MAP_0F
    if (three) {
      map = payload & 31
      const inverted = ~payload
      payload = state.unsigned(1)
      if (state.long) {
        state.rexX = inverted >> 3 & 8
        state.rexB = inverted >> 2 & 8
        state.rexR = inverted >> 4 & 8
      }
      this.#w = payload >> 7
    } else if (state.long) {
      state.rexR = ~payload >> 4 & 8
    }
    if (this.#lock || this.#repeat || this.#operandSizePrefix || state.rex) return -1
    if (map < MAP_0F || map > MAP_0F3A) return -1
    // pp is np, 66, f3, f2, as PREFIX_* are numbered.
    this.#vexPrefix = payload & 3
    this.#vexL = payload >> 2 & 1
    this.#vvvv = ~payload >> 3 & 15
    state.vvvv = state.long ? this.#vvvv : this.#vvvv & 7
    const opcode = state.unsigned(1)
    return MAP_VEX + map << 8 | opcode
  }

  #operandSizeOf(candidate: Candidate, mode: CodeMode): number {
    if (mode.long) {
      const properties = candidate.row.properties
      if (this.#w || properties.force64) return 64
      const narrow = this.#operandSizePrefix && !candidate.mandatory66
      return narrow ? 16 : properties.default64 ? 64 : 32
    }
    if (this.#vexPrefix >= 0) return 32
    const prefixed = this.#operandSizePrefix && !candidate.mandatory66
    return mode.defaultSize32 === prefixed ? 16 : 32
  }
}
