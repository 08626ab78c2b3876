/**
 * The processor's interpreter as an engine under test: user code at CPL 3 in a machine of a few
 * pages, whose exception handlers are a HLT each, so that every case ends with an exit.
 */
import { Cpu } from '../../../src/cpu/cpu.ts'
import {
  LEAF_SHIFT, P2M_MFN_SHIFT, P2M_RAM_RW,
} from '../../../src/cpu/p2m-format.ts'
import {
  CPU_CONTEXT_SIZE, CpuContext, type CpuContextView, setFlags,
} from '../../../src/cpu/state.ts'
import {
  at, Cases, type Engine, ENTRY, fxAt, GS_BASE, PAGE_AT, WINDOW_AT, WINDOW_BYTES,
} from './layout.ts'

const MACHINE_BYTES = 8 << 20
const P2M = 0x100000
const PML4 = 0x200000
const CODE = 0x300000
const DATA = 0x302000
const KERNEL = 0x310000
/** Handlers, then IDT, then GDT and TSS, then the stack; a page each. */
const KERNEL_AT = 0xffff_8000_0000_0000n
const IDT_AT = KERNEL_AT + 0x1000n
const GDT_AT = KERNEL_AT + 0x2000n
const TSS_AT = KERNEL_AT + 0x2800n
const STACK_TOP = KERNEL_AT + 0x4000n
const STACK = KERNEL + 0x3000
const HLT = 0xf4
const USER = 7n
const SUPERVISOR = 3n
const NO_EXECUTE = 1n << 63n
const SMALLEST_HANDLER = 16
const WITH_ERROR_CODE = [8, 10, 11, 12, 13, 14, 17]
const BREAKPOINT = 3
const BUDGET = 1000

/** Selector, attributes and base of ES CS SS DS FS GS. */
const longSegments = [
  [0, 0xcf3, 0n], [0x33, 0xafb, 0n], [0x2b, 0xcf3, 0n], [0, 0xcf3, 0n], [0, 0xcf3, 0n],
  [0, 0xcf3, GS_BASE],
] as const
const legacySegments = [
  [0x2b, 0xcf3, 0n], [0x23, 0xcfb, 0n], [0x2b, 0xcf3, 0n], [0x2b, 0xcf3, 0n], [0, 0, 0n],
  [0, 0, 0n],
] as const

export class InterpreterEngine implements Engine {
  readonly #cpu: Cpu
  readonly #bytes: Uint8Array
  readonly #words: Uint32Array
  readonly #view: DataView
  readonly #context = new Uint8Array(CPU_CONTEXT_SIZE)
  readonly #registers: CpuContextView

  /** With `heatLimit` 1, all code that can be is compiled before it runs. */
  constructor(heatLimit = 0) {
    const pages = MACHINE_BYTES / 65536
    const machine = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    this.#bytes = new Uint8Array(machine.buffer)
    this.#words = new Uint32Array(machine.buffer)
    this.#view = new DataView(machine.buffer)
    this.#registers = CpuContext.on(this.#context.buffer, 0)
    this.#fillP2m()
    this.#fillPageTables()
    this.#fillKernel()
    this.#bytes.fill(0xcc, CODE, CODE + 0x2000)
    let random = 1
    this.#cpu = new Cpu({
      machine, doorbell: 0x1000, tsc: () => 0, random: () => random++ * 0x9e3779b1 >>> 0,
      heatLimit,
    })
    this.#cpu.setMemory(P2M)
  }

  #fillP2m(): void {
    for (let i = 0; i < MACHINE_BYTES >>> 12 + LEAF_SHIFT; i++) {
      this.#view.setUint32(P2M + i * 4, i << LEAF_SHIFT + P2M_MFN_SHIFT | P2M_RAM_RW, true)
    }
  }

  #entry(table: number, index: number, target: number, rights: bigint): void {
    this.#view.setBigUint64(table + index * 8, BigInt(target) | rights, true)
  }

  #fillPageTables(): void {
    this.#entry(PML4, 0, PML4 + 0x1000, USER)
    this.#entry(PML4 + 0x1000, 0, PML4 + 0x2000, USER)
    this.#entry(PML4 + 0x2000, ENTRY >> 21, PML4 + 0x3000, USER)
    this.#entry(PML4 + 0x3000, 0, CODE, USER)
    this.#entry(PML4 + 0x3000, 1, CODE + 0x1000, USER)
    this.#entry(PML4 + 0x2000, PAGE_AT >> 21, PML4 + 0x4000, USER)
    this.#entry(PML4 + 0x4000, 0, DATA, USER | NO_EXECUTE)
    this.#entry(PML4, 256, PML4 + 0x5000, SUPERVISOR)
    this.#entry(PML4 + 0x5000, 0, PML4 + 0x6000, SUPERVISOR)
    this.#entry(PML4 + 0x6000, 0, PML4 + 0x7000, SUPERVISOR)
    for (let page = 0; page < 4; page++) {
      this.#entry(PML4 + 0x7000, page, KERNEL + page * 0x1000, SUPERVISOR)
    }
  }

  #fillKernel(): void {
    const view = this.#view
    for (let vector = 0; vector < 32; vector++) {
      this.#bytes[KERNEL + vector * SMALLEST_HANDLER] = HLT
      const handler = KERNEL_AT + BigInt(vector * SMALLEST_HANDLER)
      const gate = KERNEL + 0x1000 + vector * 16
      // An interrupt gate that user code may call, to the code segment at 10.
      view.setBigUint64(gate, handler & 0xffffn | 0x10_0000n | 0xee00n << 32n
        | (handler >> 16n & 0xffffn) << 48n, true)
      view.setBigUint64(gate + 8, handler >> 32n, true)
    }
    view.setBigUint64(KERNEL + 0x2010, 0x00af_9b00_0000_ffffn, true)
    view.setBigUint64(KERNEL + 0x2804, STACK_TOP, true)
  }

  run(cases: Cases): Cases {
    const outcomes = Cases.make(cases.count)
    for (let i = 0; i < cases.count; i++) this.#runOne(cases, outcomes, i)
    return outcomes
  }

  #runOne(cases: Cases, outcomes: Cases, index: number): void {
    this.#placeCode(cases.slice(index, at.code, cases.u32(index, at.length)))
    this.#bytes.fill(0, DATA, DATA + 0x1000)
    const window = DATA + WINDOW_AT - PAGE_AT
    this.#bytes.set(cases.slice(index, at.window, WINDOW_BYTES), window)
    this.#takeRegisters(cases, index)
    this.#cpu.loadContext(this.#context)
    const exit = this.#cpu.run(BUDGET)
    this.#cpu.saveContext(this.#context)
    this.#giveRegisters(outcomes, index, exit)
    outcomes.slice(index, at.window, WINDOW_BYTES)
      .set(this.#bytes.subarray(window, window + WINDOW_BYTES))
    outcomes.setU32(index, at.stray, this.#anyWord(DATA, window) ? 1 : 0)
  }

  /** What is there already stays, and stays compiled. */
  #placeCode(code: Uint8Array): void {
    const place = CODE + 0x1000
    const bytes = this.#bytes.subarray(place, place + 16)
    if (code.every((byte, i) => byte === bytes[i]) && bytes[code.length] === 0xcc) return
    bytes.fill(0xcc)
    bytes.set(code)
    this.#cpu.code.invalidate(place)
  }

  #anyWord(from: number, to: number): boolean {
    for (let at = from; at < to; at += 4) if (this.#words[at >>> 2] !== 0) return true
    return false
  }

  #takeRegisters(cases: Cases, index: number): void {
    this.#context.fill(0)
    const cpu = this.#registers
    for (let i = 0; i < 16; i++) {
      cpu.gpr.set(i, cases.u64(index, at.gpr + i * 8))
      const xmm = at.fx + fxAt.xmm + i * 16
      cpu.vector.set(i * 4, cases.u64(index, xmm))
      cpu.vector.set(i * 4 + 1, cases.u64(index, xmm + 8))
      cpu.vector.set(i * 4 + 2, cases.u64(index, at.high + i * 16))
      cpu.vector.set(i * 4 + 3, cases.u64(index, at.high + i * 16 + 8))
    }
    cpu.rip = BigInt(ENTRY)
    setFlags(cpu, Number(cases.u64(index, at.flags)))
    const segments = cases.u32(index, at.legacy) ? legacySegments : longSegments
    segments.forEach(([selector, attributes, base], i) => {
      const segment = cpu.segments.item(i)
      segment.selector = selector
      segment.attributes = attributes
      segment.base = base
      segment.limit = 0xffffffff
    })
    cpu.tr.base = TSS_AT
    cpu.tr.limit = 0x67
    cpu.tr.attributes = 0x8b
    cpu.tr.selector = 0x18
    cpu.gdtr.base = GDT_AT
    cpu.gdtr.limit = 0x2f
    cpu.idtr.base = IDT_AT
    cpu.idtr.limit = 32 * 16 - 1
    cpu.cr0 = 0x8005_0033n
    cpu.cr3 = BigInt(PML4)
    cpu.cr4 = 0x4_0620n
    cpu.efer = 0xd01n
    cpu.xcr0 = 7n
    cpu.cpl = 3
    this.#takeFloat(cases, index)
  }

  #takeFloat(cases: Cases, index: number): void {
    const cpu = this.#registers
    cpu.mxcsr = cases.u32(index, at.fx + fxAt.mxcsr)
    cpu.x87Control = cases.u16(index, at.fx + fxAt.control)
    cpu.x87Status = cases.u16(index, at.fx + fxAt.status)
    cpu.x87Tags = cases.slice(index, at.fx + fxAt.tags, 1)[0]!
    const top = cpu.x87Status >> 11 & 7
    for (let i = 0; i < 8; i++) {
      const st = at.fx + fxAt.st + i * 16
      const register = cpu.x87.item(top + i & 7)
      register.significand = cases.u64(index, st)
      register.signExponent = cases.u16(index, st + 8)
    }
  }

  #giveRegisters(outcomes: Cases, index: number, exit: string): void {
    const cpu = this.#registers
    const handler = Number(cpu.rip - KERNEL_AT)
    const vector = exit === 'halt' ? Math.floor(handler / SMALLEST_HANDLER) : -2
    const frame = STACK + Number(cpu.gpr.get(4) & 0xfffn)
      + (WITH_ERROR_CODE.includes(vector) ? 8 : 0)
    const pushed = (word: number) =>
      vector === -2 ? 0n : this.#view.getBigUint64(frame + word * 8, true)
    for (let i = 0; i < 16; i++) {
      outcomes.setU64(index, at.gpr + i * 8, i === 4 ? pushed(3) : cpu.gpr.get(i))
      const xmm = at.fx + fxAt.xmm + i * 16
      outcomes.setU64(index, xmm, cpu.vector.get(i * 4))
      outcomes.setU64(index, xmm + 8, cpu.vector.get(i * 4 + 1))
      outcomes.setU64(index, at.high + i * 16, cpu.vector.get(i * 4 + 2))
      outcomes.setU64(index, at.high + i * 16 + 8, cpu.vector.get(i * 4 + 3))
    }
    outcomes.setU64(index, at.flags, pushed(2))
    const rip = pushed(0)
    const done = vector === BREAKPOINT && rip !== BigInt(ENTRY + 1)
    outcomes.setU64(index, at.rip, done ? rip - 1n : rip)
    outcomes.setU32(index, at.vector, (done ? -1 : vector) >>> 0)
    outcomes.setU32(index, at.fx + fxAt.mxcsr, cpu.mxcsr)
    outcomes.setU16(index, at.fx + fxAt.control, cpu.x87Control)
    outcomes.setU16(index, at.fx + fxAt.status, cpu.x87Status)
    outcomes.slice(index, at.fx + fxAt.tags, 1)[0] = cpu.x87Tags
    const top = cpu.x87Status >> 11 & 7
    for (let i = 0; i < 8; i++) {
      const st = at.fx + fxAt.st + i * 16
      const register = cpu.x87.item(top + i & 7)
      outcomes.setU64(index, st, register.significand)
      outcomes.setU16(index, st + 8, register.signExponent)
    }
  }
}
