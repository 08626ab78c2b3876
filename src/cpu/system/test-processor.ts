/**
 * A processor without an engine, for tests of services and exception delivery: flat memory in which
 * linear addresses are addresses, and code given as bytes.
 */
import { assert } from '../../base/assert.ts'
import { Descriptor } from '../../abi/x86/descriptor.ts'
import { makeDecoder } from '../../isa/decode/decoder.ts'
import { controlInstructions } from '../../isa/instructions/system-control.ts'
import { segmentInstructions } from '../../isa/instructions/system-segments.ts'
import { systemInstructions } from '../../isa/instructions/system.ts'
import { CoreControl } from '../core-memory.ts'
import { deliver } from '../exceptions/deliver.ts'
import type { CpuEvent } from '../exceptions/event.ts'
import {
  AccessExit, GuestFault, type LinearMemory, type Processor, type ServiceExit,
} from '../interfaces.ts'
import { MachineAdapter } from '../interpreter/machine-adapter.ts'
import { CpuContext, SEGMENT_DB, SEGMENT_L, setFlags } from '../state.ts'
import { setSegment } from './descriptors.ts'
import { isLongMode } from './mode.ts'
import { systemServices } from './services.ts'

const decode = makeDecoder([...systemInstructions, ...segmentInstructions, ...controlInstructions])
const MEMORY = 1 << 20
const CONTROL = 0x1000
export const IDT = 0x1000
export const GDT = 0x2000
export const TSS = 0x3000

class FlatMemory implements LinearMemory {
  readonly octets = new Uint8Array(MEMORY)
  readonly bytes = new DataView(this.octets.buffer)
  readonly absent = new Set<number>()
  flushes: string[] = []
  readonly #owner: TestProcessor
  constructor(owner: TestProcessor) { this.#owner = owner }

  #check(address: bigint, size: number, write: boolean, user: boolean): number {
    const at = Number(address)
    for (const page of [at >> 12, at + size - 1 >> 12]) {
      if (at < 0 || at >= MEMORY || this.absent.has(page)) {
        this.#owner.context.cr2 = address
        return this.#owner.fault(14, (write ? 2 : 0) | (user ? 4 : 0))
      }
    }
    return at
  }

  read(address: bigint, size: number, user: boolean): bigint {
    const at = this.#check(address, size, false, user)
    let value = 0n
    for (let i = size - 1; i >= 0; i--) value = value << 8n | BigInt(this.octets[at + i]!)
    return value
  }

  write(address: bigint, size: number, value: bigint, user: boolean): void {
    const at = this.#check(address, size, true, user)
    for (let i = 0; i < size; i++) this.octets[at + i] = Number(value >> BigInt(8 * i) & 0xffn)
  }

  probeWrite(address: bigint, size: number, user: boolean): void {
    this.#check(address, size, true, user)
  }

  place(address: bigint, size: number): number {
    const at = Number(address)
    const pages = [at >> 12, at + size - 1 >> 12]
    const isThere = at >= 0 && at < MEMORY && !this.absent.has(pages[0]!)
    return isThere && pages[0] === pages[1] ? at : -1
  }

  translate(address: bigint): number { return Number(address) }
  flushAll(): void { this.flushes.push('all') }
  flushNonGlobal(): void { this.flushes.push('non-global') }
  flushSpace(pcid: number): void { this.flushes.push(`space ${pcid}`) }
  switchSpace(pcid: number, keep: boolean): void {
    this.flushes.push(`${keep ? 'keep' : 'switch'} ${pcid}`)
  }
  flushPage(address: bigint): void { this.flushes.push(`page ${address.toString(16)}`) }
  flushPageOf(address: bigint, pcid: number): void {
    this.flushes.push(`page ${address.toString(16)} of ${pcid}`)
  }
}

export interface TestExit {
  readonly kind: ServiceExit
  readonly size: number
  readonly address: number
  readonly value: bigint
}

export class TestProcessor implements Processor {
  readonly #core = new ArrayBuffer(0x3000)
  readonly context = CpuContext.on(this.#core, 0)
  readonly control = CoreControl.on(this.#core, CONTROL)
  readonly memory: FlatMemory = new FlatMemory(this)
  readonly #machine = new MachineAdapter(this, this.#core)
  exits: TestExit[] = []
  ticks = 1000n
  portValue: bigint | undefined
  hasPorts = true
  modeChanges = 0
  enabled = 0

  fault(vector: number, errorCode?: number): never {
    const fault = new GuestFault()
    fault.vector = vector
    fault.errorCode = errorCode ?? 0
    fault.hasErrorCode = errorCode !== undefined
    throw fault
  }

  modeChanged(): void {
    this.modeChanges += 1
    const { attributes } = this.context.segments.item(1)
    this.control.codeMode = isLongMode(this.context) && attributes & SEGMENT_L ? 1 : 2
  }

  interruptsEnabled(): void { this.enabled += 1 }
  random(): number {
    return 4
  }

  tsc(): bigint { return this.ticks }

  readPort(): bigint {
    if (this.portValue === undefined) throw new AccessExit()
    return this.portValue
  }

  requestExit(kind: ServiceExit, size: number, address: number, value: bigint): void {
    this.exits.push({ kind, size, address, value })
  }

  /** Runs one instruction given in hexadecimal at rip. A fault comes back as text, `GP(8)`-like. */
  run(hex: string): string {
    const bytes = Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16))
    const c = this.context
    const code = c.segments.item(1)
    const long = isLongMode(c) && (code.attributes & SEGMENT_L) !== 0
    const instruction = decode(bytes, {
      long, defaultSize32: (code.attributes & SEGMENT_DB) !== 0,
    })
    assert(typeof instruction !== 'string', `${hex} is an instruction`)
    this.modeChanged()
    const rip = c.rip
    c.rip = rip + BigInt(instruction.length)
    this.#machine.begin(instruction, rip, c.rip)
    try {
      systemServices[instruction.definition.service!]!(this.#machine, this, instruction)
      return 'done'
    } catch (error) {
      c.rip = rip
      if (error instanceof AccessExit) return 'exit'
      if (!(error instanceof GuestFault)) throw error
      const code = error.hasErrorCode ? `(${error.errorCode.toString(16)})` : ''
      return `${error.vector}${code}`
    }
  }

  deliver(event: Partial<CpuEvent> & { vector: number }): string {
    return deliver(this, { kind: 'fault', hasErrorCode: false, ...event })
  }

  put(address: number, size: number, value: bigint | number): void {
    for (let i = 0; i < size; i++) {
      this.memory.octets[address + i] = Number(BigInt(value) >> BigInt(8 * i) & 0xffn)
    }
  }

  get(address: number, size: number): bigint {
    let value = 0n
    for (let i = size - 1; i >= 0; i--) {
      value = value << 8n | BigInt(this.memory.octets[address + i]!)
    }
    return value
  }

  /** `count` values of `size` bytes from the stack pointer up, in hexadecimal. */
  stack(size: number, count: number): string {
    const at = Number(this.context.gpr.get(4))
    return Array.from({ length: count }, (_, i) => this.get(at + i * size, size).toString(16))
      .join(' ')
  }

  /** Puts a descriptor: attributes as in state.ts, limit as its raw 20 bits. */
  describe(selector: number, attributes: number, base = 0, limit = 0xfffff): void {
    const low = BigInt(limit & 0xffff) | BigInt(base & 0xffff) << 16n
    const high = base >>> 16 & 0xff | (attributes & 0xff) << 8 | (limit >>> 16) << 16
      | (attributes & 0xf00) << 12 | base & 0xff00_0000
    this.put(GDT + (selector & 0xfff8), 8, low | BigInt(high >>> 0) << 32n)
  }

  /** Loads a segment register from the table, unchecked. */
  use(index: number, selector: number): void {
    const bits = this.get(GDT + (selector & 0xfff8), 8)
    setSegment(this.context, index, selector, new Descriptor(bits))
  }

  /** Puts a gate for `vector`; `long` makes it sixteen bytes. */
  gate(vector: number, type: number, selector: number, offset: number, more: {
    long?: boolean, ist?: number, dpl?: number, absent?: boolean } = {}): void {
    const at = IDT + vector * (more.long ? 16 : 8)
    const access = (more.absent ? 0 : 0x80) | (more.dpl ?? 0) << 5 | type
    this.put(at, 8, BigInt(offset & 0xffff) | BigInt(selector) << 16n
      | BigInt(more.ist ?? 0) << 32n | BigInt(access) << 40n | BigInt(offset >>> 16) << 48n)
    if (more.long) this.put(at + 8, 8, 0n)
  }
}

/** Selectors of the tables that the makers below set up. */
export const KERNEL_CS = 0x08
export const KERNEL_SS = 0x10
export const USER_CS = 0x1b
export const USER_SS = 0x23
export const USER_CS32 = 0x2b
export const TSS_SELECTOR = 0x30

function tables(p: TestProcessor, codeAttributes: number, tssType: number): void {
  const c = p.context
  p.describe(KERNEL_CS, codeAttributes | 0x9b)
  p.describe(KERNEL_SS, 0xc93)
  p.describe(USER_CS, codeAttributes | 0xfb)
  p.describe(USER_SS, 0xcf3)
  p.describe(USER_CS32, 0xcfb)
  p.describe(TSS_SELECTOR, 0x80 | tssType, TSS, 0x67)
  c.gdtr.base = BigInt(GDT)
  c.gdtr.limit = 0xff
  c.idtr.base = BigInt(IDT)
  c.idtr.limit = 0xfff
  c.tr.selector = TSS_SELECTOR
  c.tr.base = BigInt(TSS)
  c.tr.limit = 0x67
  c.tr.attributes = 0x8b
}

/** 64-bit mode at `cpl`, stack at 0x9000, RSP0 0xa000, IST1 0xb008. */
export function longMode(cpl: 0 | 3 = 0): TestProcessor {
  const p = new TestProcessor()
  const c = p.context
  tables(p, 0xa00, 0xb)
  c.cr0 = 0x8005_0033n
  c.cr4 = 0x6a0n
  c.efer = 0xd01n
  p.put(TSS + 4, 8, 0xa000)
  p.put(TSS + 0x24, 8, 0xb008)
  start(p, cpl)
  return p
}

/** 32-bit protected mode, without paging; ESP0 0xa000. */
export function protectedMode(cpl: 0 | 3 = 0): TestProcessor {
  const p = new TestProcessor()
  tables(p, 0xc00, 0xb)
  p.context.cr0 = 0x33n
  p.put(TSS + 4, 4, 0xa000)
  p.put(TSS + 8, 4, KERNEL_SS)
  start(p, cpl)
  return p
}

function start(p: TestProcessor, cpl: 0 | 3): void {
  const c = p.context
  c.cpl = cpl
  p.use(1, cpl ? USER_CS : KERNEL_CS)
  for (const index of [0, 2, 3]) p.use(index, cpl ? USER_SS : KERNEL_SS)
  c.dr.set(7, 0x400n)
  c.rip = 0x4000n
  c.gpr.set(4, 0x9000n)
  setFlags(c, 0x202)
  p.modeChanged()
}

/** Real mode, stack at 0x9000, vectors at 0. */
export function realMode(): TestProcessor {
  const p = new TestProcessor()
  const c = p.context
  c.cr0 = 0x10n
  for (let i = 0; i < 6; i++) {
    const segment = c.segments.item(i)
    segment.limit = 0xffff
    segment.attributes = 0x93
  }
  c.idtr.limit = 0x3ff
  c.rip = 0x4000n
  c.gpr.set(4, 0x9000n)
  setFlags(c, 0x202)
  return p
}
