/**
 * The interpreter as an engine under test: a processor in user mode of long mode, with a page of
 * code, a page of data, and no interrupt descriptor table, so that an exception ends in shutdown.
 */
import { Cpu } from '../../../src/cpu/cpu.ts'
import { flagsOf, setFlags } from '../../../src/cpu/state.ts'
import {
  at, Cases, type Engine, ENTRY, fxAt, GS_BASE, PAGE_AT, WINDOW_AT, WINDOW_BYTES,
} from './layout.ts'

const ARITHMETIC = 0xcd5
const P2M = 0x100000
const P2M_LEAF = 0x110000
const TABLES = 0x120000
const CODE = 0x200000
const DATA = 0x203000
const DOORBELL = 0x1000
const USER_RW = 7n
const MAX_ROUNDS = 100_000

export class InterpreterEngine implements Engine {
  readonly cpu: Cpu
  readonly #bytes: Uint8Array
  readonly #words: BigUint64Array

  constructor() {
    const machine = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true })
    this.#bytes = new Uint8Array(machine.buffer)
    this.#words = new BigUint64Array(machine.buffer)
    this.cpu = new Cpu({ machine, doorbell: DOORBELL, tsc: () => 0n, random: () => 0x1234_5678 })
    const p2m = new Uint32Array(machine.buffer)
    p2m[P2M >>> 2] = P2M_LEAF >>> 12
    for (let gfn = 0; gfn < 1024; gfn++) p2m[(P2M_LEAF >>> 2) + gfn] = gfn << 8 | 1
    this.#map(ENTRY - 4096, CODE - 4096)
    this.#map(ENTRY, CODE)
    this.#map(ENTRY + 4096, CODE + 4096)
    this.#map(PAGE_AT, DATA)
    this.#bytes.fill(0xcc, CODE - 4096, CODE + 4096)
    this.#start()
  }

  run(cases: Cases): Cases {
    const outcomes = Cases.make(cases.count)
    for (let i = 0; i < cases.count; i++) this.#runOne(cases, outcomes, i)
    return outcomes
  }

  #map(linear: number, physical: number): void {
    const indexes = [39, 30, 21].map((shift) => Math.floor(linear / 2 ** shift) & 511)
    let table = TABLES
    for (const [level, index] of indexes.entries()) {
      const next = TABLES + (level + 1) * 0x2000 + (level === 2 ? index % 2 * 0x1000 : 0)
      const chosen = level === 2 ? TABLES + 0x8000 + (linear >= PAGE_AT ? 0x1000 : 0) : next
      this.#words[(table >>> 3) + index] = BigInt(chosen) | USER_RW
      table = chosen
    }
    this.#words[(table >>> 3) + (Math.floor(linear / 4096) & 511)] = BigInt(physical) | USER_RW
  }

  #start(): void {
    const { cpu } = this
    const c = cpu.context
    c.cr0 = 0x80050033n
    c.cr3 = BigInt(TABLES)
    c.cr4 = 0x10620n
    c.efer = 0xd01n
    c.cpl = 3
    c.xcr0 = 1n
    for (let i = 0; i < 6; i++) {
      const segment = c.segments.item(i)
      segment.limit = 0xffffffff
      segment.selector = i === 1 ? 0x33 : 0x2b
      segment.attributes = i === 1 ? 0xafb : 0xcf3
    }
    c.segments.item(5).base = GS_BASE
    cpu.modeChanged()
    cpu.setMemory(P2M)
  }

  #runOne(cases: Cases, outcomes: Cases, index: number): void {
    const { cpu } = this
    const length = cases.u32(index, at.length)
    this.#bytes.fill(0xcc, CODE, CODE + 16)
    this.#bytes.set(cases.slice(index, at.code, length), CODE)
    cpu.code.invalidate(CODE)
    this.#bytes.fill(0, DATA, DATA + 4096)
    const window = DATA + WINDOW_AT - PAGE_AT
    this.#bytes.set(cases.slice(index, at.window, WINDOW_BYTES), window)
    this.#take(cases, index)
    let vector = -1
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const exit = cpu.step()
      if (exit === 'shutdown') vector = cpu.control.faultVector
      if (exit || cpu.context.rip !== BigInt(ENTRY)) break
    }
    this.#give(outcomes, index)
    outcomes.view.setInt32(index * 1088 + at.vector, vector, true)
    const stray = this.#bytes.subarray(DATA, window).some((byte) => byte !== 0)
    outcomes.setU32(index, at.stray, stray ? 1 : 0)
    outcomes.slice(index, at.window, WINDOW_BYTES)
      .set(this.#bytes.subarray(window, window + WINDOW_BYTES))
  }

  #take(cases: Cases, index: number): void {
    const c = this.cpu.context
    for (let i = 0; i < 16; i++) {
      c.gpr.set(i, cases.u64(index, at.gpr + i * 8))
      const xmm = at.fx + fxAt.xmm + i * 16
      c.vector.set(i * 4, cases.u64(index, xmm))
      c.vector.set(i * 4 + 1, cases.u64(index, xmm + 8))
    }
    setFlags(c, Number(cases.u64(index, at.flags)) & ARITHMETIC | 0x202)
    c.rip = BigInt(ENTRY)
    c.mxcsr = cases.u32(index, at.fx + fxAt.mxcsr)
    c.x87Control = cases.u16(index, at.fx + fxAt.control)
    c.x87Status = cases.u16(index, at.fx + fxAt.status)
    c.x87Tags = cases.slice(index, at.fx + fxAt.tags, 1)[0]!
    const top = c.x87Status >> 11 & 7
    for (let i = 0; i < 8; i++) {
      const st = at.fx + fxAt.st + i * 16
      const register = c.x87.item(top + i & 7)
      register.significand = cases.u64(index, st)
      register.signExponent = cases.u16(index, st + 8)
    }
  }

  #give(outcomes: Cases, index: number): void {
    const c = this.cpu.context
    for (let i = 0; i < 16; i++) {
      outcomes.setU64(index, at.gpr + i * 8, c.gpr.get(i))
      const xmm = at.fx + fxAt.xmm + i * 16
      outcomes.setU64(index, xmm, c.vector.get(i * 4))
      outcomes.setU64(index, xmm + 8, c.vector.get(i * 4 + 1))
    }
    outcomes.setU64(index, at.flags, BigInt(flagsOf(c) & ARITHMETIC))
    outcomes.setU64(index, at.rip, c.rip)
    outcomes.setU32(index, at.fx + fxAt.mxcsr, c.mxcsr)
    outcomes.setU16(index, at.fx + fxAt.control, c.x87Control)
    outcomes.setU16(index, at.fx + fxAt.status, c.x87Status)
    outcomes.slice(index, at.fx + fxAt.tags, 1)[0] = c.x87Tags
    const top = c.x87Status >> 11 & 7
    for (let i = 0; i < 8; i++) {
      const st = at.fx + fxAt.st + i * 16
      const register = c.x87.item(top + i & 7)
      outcomes.setU64(index, st, register.significand)
      outcomes.setU16(index, st + 8, register.signExponent)
    }
  }
}
