/**
 * The reference reading as an engine under test.
 */
import { ReferenceMachine } from '../../../src/isa/backends/reference-machine.ts'
import {
  ReferenceFault, type ReferenceMemory, ReferenceState,
} from '../../../src/isa/backends/reference-state.ts'
import { runInstruction } from '../../../src/isa/backends/reference-run.ts'
import type { Decode } from '../../../src/isa/decode/decoder.ts'
import type { Service } from '../../../src/isa/machine.ts'
import {
  at, Cases, type Engine, ENTRY, fxAt, GS_BASE, LEGACY_MODE,
  LONG_MODE, PAGE_AT, PAGE_END, WINDOW_AT, WINDOW_BYTES,
} from './layout.ts'

const PAGE_FAULT = 14
const GENERAL_PROTECTION = 13
const ARITHMETIC = 0xcd5

/** One page of data; what lies outside the window is zero and marked when written. */
class WindowMemory implements ReferenceMemory {
  window: Uint8Array = new Uint8Array(0)
  stray = false

  #check(address: bigint, size: number): number {
    const last = address + BigInt(size) - 1n
    if (BigInt.asIntN(48, address) !== BigInt.asIntN(64, address)) {
      throw new ReferenceFault(GENERAL_PROTECTION, 0)
    }
    if (address < PAGE_AT || last >= PAGE_END) throw new ReferenceFault(PAGE_FAULT, 0)
    return Number(address)
  }

  load(address: bigint, size: number): bigint {
    const first = this.#check(address, size) - WINDOW_AT
    let value = 0n
    for (let i = size - 1; i >= 0; i--) {
      value = value << 8n | BigInt(first + i >= 0 ? this.window[first + i]! : 0)
    }
    return value
  }

  store(address: bigint, size: number, value: bigint): void {
    const first = this.#check(address, size) - WINDOW_AT
    let rest = value
    for (let i = 0; i < size; i++) {
      const byte = Number(rest & 0xffn)
      if (first + i >= 0) this.window[first + i] = byte
      else if (byte !== 0) this.stray = true
      rest >>= 8n
    }
  }

  probeWrite(address: bigint, size: number): void {
    this.#check(address, size)
  }
}

export class ReferenceEngine implements Engine {
  readonly #decode: Decode
  readonly #services: Readonly<Record<string, Service>>

  constructor(decode: Decode, services: Readonly<Record<string, Service>> = {}) {
    this.#decode = decode
    this.#services = services
  }

  run(cases: Cases): Cases {
    const outcomes = Cases.make(cases.count)
    for (let i = 0; i < cases.count; i++) this.#runOne(cases, outcomes, i)
    return outcomes
  }

  #runOne(cases: Cases, outcomes: Cases, index: number): void {
    const memory = new WindowMemory()
    memory.window = outcomes.slice(index, at.window, WINDOW_BYTES)
    memory.window.set(cases.slice(index, at.window, WINDOW_BYTES))
    const state = new ReferenceState(memory)
    const legacy = cases.u32(index, at.legacy) !== 0
    state.segmentBases[5] = GS_BASE
    state.long = !legacy
    state.stackWidth = legacy ? 32 : 64
    if (legacy) state.selectors.splice(0, 6, 0x2b, 0x23, 0x2b, 0x2b, 0, 0)
    takeState(state, cases, index)
    const length = cases.u32(index, at.length)
    const code = cases.slice(index, at.code, length)
    const instruction = this.#decode(code, legacy ? LEGACY_MODE : LONG_MODE)
    let vector = -1
    try {
      if (typeof instruction === 'string') throw new ReferenceFault(6)
      runInstruction(state, instruction, (name, at, decoded) => {
        const service = this.#services[name]
        if (!service) throw new Error(`no service ${name}`)
        service(new ReferenceMachine(at, decoded), decoded)
      })
    } catch (fault) {
      if (!(fault instanceof ReferenceFault)) throw fault
      vector = fault.vector
    }
    giveState(state, outcomes, index)
    outcomes.setU32(index, at.vector, vector >>> 0)
    outcomes.setU32(index, at.stray, memory.stray ? 1 : 0)
  }
}

/** A case's registers into a state. FXSAVE stores x87 registers from the top of the stack. */
function takeState(state: ReferenceState, cases: Cases, index: number): void {
  for (let i = 0; i < 16; i++) {
    state.gpr[i] = cases.u64(index, at.gpr + i * 8)
    const xmm = at.fx + fxAt.xmm + i * 16
    state.xmm[i] = cases.u64(index, xmm) | cases.u64(index, xmm + 8) << 64n
    const high = at.high + i * 16
    state.ymm[i] = cases.u64(index, high) | cases.u64(index, high + 8) << 64n
  }
  state.flags = Number(cases.u64(index, at.flags)) & ARITHMETIC
  state.rip = BigInt(ENTRY)
  state.mxcsr = cases.u32(index, at.fx + fxAt.mxcsr)
  const { x87 } = state
  x87.controlWord = cases.u16(index, at.fx + fxAt.control)
  x87.statusWord = cases.u16(index, at.fx + fxAt.status)
  x87.tags = cases.slice(index, at.fx + fxAt.tags, 1)[0]!
  const top = x87.statusWord >> 11 & 7
  for (let i = 0; i < 8; i++) {
    const st = at.fx + fxAt.st + i * 16
    x87.setRegister(top + i & 7, cases.u16(index, st + 8), cases.u64(index, st))
  }
}

function giveState(state: ReferenceState, outcomes: Cases, index: number): void {
  for (let i = 0; i < 16; i++) {
    outcomes.setU64(index, at.gpr + i * 8, state.gpr[i]!)
    const xmm = at.fx + fxAt.xmm + i * 16
    outcomes.setU64(index, xmm, state.xmm[i]! & 0xffffffffffffffffn)
    outcomes.setU64(index, xmm + 8, state.xmm[i]! >> 64n)
    outcomes.setU64(index, at.high + i * 16, state.ymm[i]! & 0xffffffffffffffffn)
    outcomes.setU64(index, at.high + i * 16 + 8, state.ymm[i]! >> 64n)
  }
  outcomes.setU64(index, at.flags, BigInt(state.flags))
  outcomes.setU64(index, at.rip, state.rip)
  outcomes.setU32(index, at.fx + fxAt.mxcsr, state.mxcsr)
  const { x87 } = state
  outcomes.setU16(index, at.fx + fxAt.control, x87.controlWord)
  outcomes.setU16(index, at.fx + fxAt.status, x87.statusWord)
  outcomes.slice(index, at.fx + fxAt.tags, 1)[0] = x87.tags
  const top = x87.statusWord >> 11 & 7
  for (let i = 0; i < 8; i++) {
    const st = at.fx + fxAt.st + i * 16
    const register = top + i & 7
    outcomes.setU64(index, st, x87.significand(register))
    outcomes.setU16(index, st + 8, x87.signExponent(register))
  }
}
