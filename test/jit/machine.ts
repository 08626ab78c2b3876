/**
 * A machine of a few pages for random programs of 64-bit code, at CPL 0 or 3, with a small kernel.
 *
 * The kernel's page-fault handler makes the page of the fault usable and returns; software
 * interrupts take pages away again, or put another page of code in place of one; an interrupt does
 * nothing that a program could see. Any other exception ends the program: its handler is a HLT.
 */
import type { EngineOptions } from '../../src/cpu/engine.ts'
import { Cpu, type ExitKind } from '../../src/cpu/cpu.ts'
import { LEAF_ENTRIES, P2M_MFN_SHIFT, P2M_RAM_RW } from '../../src/cpu/p2m-format.ts'
import { FS, GS } from '../../src/abi/x86/registers.ts'
import { CPU_CONTEXT_SIZE, CpuContext, RFLAGS, setFlags } from '../../src/cpu/state.ts'
import { registerDifferences } from './registers.ts'

const DOORBELL = 0x1000
const MACHINE_BYTES = 8 << 20
const PAGE = 0x1000
const P2M = 0x100000
const P2M_LEAF = 0x120000
const TABLES = 0x200000
const KERNEL = 0x310000
const CODE = 0x320000
/** Machine address of the first page of data. */
export const DATA = 0x330000
const STACK = 0x340000

/** Pages of code that a program has; behind them lies the page that may stand for page 1. */
export const CODE_PAGES = 4
const SPARE_PAGE = CODE_PAGES
export const DATA_PAGES = 8
const STACK_PAGES = 2

export const CODE_AT = 0x1000_0000
/** The code's pages again, for stores. */
export const ALIAS_AT = 0x1001_0000
export const DATA_AT = 0x2000_0000
const STACK_AT = 0x2010_0000
export const STACK_TOP = STACK_AT + STACK_PAGES * PAGE - 256
/** Of the segments' bases. */
export const FS_BASE = 0x40
export const GS_BASE = PAGE
const KERNEL_AT = 0xffff_8000_0000_0000n
const CODE_TABLE = TABLES + 3 * PAGE
const DATA_TABLE = TABLES + 4 * PAGE

/** Software interrupts: page n of the data is gone, or cannot be written, after vector + n. None is
 * Linux's 0x80. */
export const UNMAP = 0x88
export const PROTECT = 0x90
/** Page 1 of the code and the spare page change places. */
export const SWAP = 0xa0
const INTERRUPT = 0x20

const USER = 7n
const SUPERVISOR = 3n
const NO_EXECUTE = 1n << 63n
const ACCESSED = 0x20
const HANDLER_BYTES = 128
const IDT = KERNEL + 9 * PAGE
const GDT = KERNEL + 10 * PAGE
const TSS = GDT + 0x800
const COUNTS = KERNEL + 11 * PAGE
const STACKS = KERNEL + 12 * PAGE
/** More page faults than that, and the program ends. */
const MOST_FAULTS = 100

/** Where a program starts, and with what. */
export interface Start {
  readonly code: Uint8Array
  /** What stands on the spare page. */
  readonly spare: Uint8Array
  readonly entry: number
  readonly data: Uint8Array
  readonly registers: readonly bigint[]
  readonly vectors: readonly bigint[]
  readonly flags: number
  readonly cpl: 0 | 3
  /** Unless it is 32-bit code. */
  readonly isLong?: boolean
}

/** What a program may change, without what interrupts leave behind. */
const observed: readonly (readonly [string, number, number])[] = [
  ['code', CODE, CODE + (CODE_PAGES + 1) * PAGE],
  ['data', DATA, DATA + DATA_PAGES * PAGE],
  ['stack', STACK, STACK + STACK_PAGES * PAGE],
  ['table of data', DATA_TABLE, DATA_TABLE + PAGE],
  ['fault count', COUNTS, COUNTS + 4],
  ['frames of page faults', STACKS + 2 * PAGE, STACKS + 3 * PAGE],
]

function quad(value: bigint): number[] {
  return [...new Uint8Array(new BigUint64Array([BigInt.asUintN(64, value)]).buffer)]
}

function word(value: number): number[] {
  return [value & 0xff, value >> 8 & 0xff, value >> 16 & 0xff, value >> 24 & 0xff]
}

function kernelAddress(machine: number): bigint {
  return KERNEL_AT + BigInt(machine - TABLES)
}

const [HLT, PUSH_RAX, PUSH_RCX, POP_RAX, POP_RCX] = [0xf4, 0x50, 0x51, 0x58, 0x59]
const IRETQ = [0x48, 0xcf]
const INVLPG_RAX = [0x0f, 0x01, 0x38]
const MOV_RAX_CR2 = [0x0f, 0x20, 0xd0]

function movRax(value: bigint): number[] {
  return [0x48, 0xb8, ...quad(value)]
}

function movRcx(value: bigint): number[] {
  return [0x48, 0xb9, ...quad(value)]
}

/** Makes the page of CR2 usable, if it is one of the table of data and stack. */
function pageFaultHandler(): number[] {
  const use = [
    0x48, 0x83, 0x0c, 0xc1, 0x07, // or qword [rcx + rax * 8], 7
    ...MOV_RAX_CR2, ...INVLPG_RAX, POP_RCX, POP_RAX, 0x48, 0x83, 0xc4, 8, ...IRETQ, // add rsp, 8
  ]
  const find = [
    0xc1, 0xe8, 12, 0x25, ...word(0x1ff), // shr eax, 12; and eax, 0x1ff
    ...movRcx(kernelAddress(DATA_TABLE)),
    0xf7, 0x04, 0xc1, ...word(0xfffff000), // test dword [rcx + rax * 8], the frame
    0x74, use.length, ...use, // jz to HLT
  ]
  const look = [
    ...MOV_RAX_CR2, 0x48, 0x89, 0xc1, 0x48, 0xc1, 0xe9, 21, // mov rcx, rax; shr rcx, 21
    0x48, 0x81, 0xf9, ...word(DATA_AT >> 21), // cmp rcx, DATA_AT >> 21
    0x75, find.length, ...find, // jne to HLT
  ]
  const count = [
    PUSH_RAX, PUSH_RCX, ...movRax(kernelAddress(COUNTS)),
    0xff, 0x00, // inc dword [rax]
    0x81, 0x38, ...word(MOST_FAULTS), // cmp dword [rax], MOST_FAULTS
  ]
  return [...count, 0x77, look.length, ...look, HLT] // ja to HLT
}

/** Clears bits of the entry of a page of data. */
function takeAway(page: number, kept: number): number[] {
  return [
    PUSH_RAX, ...movRax(kernelAddress(DATA_TABLE + page * 8)),
    0x80, 0x20, kept, // and byte [rax], kept
    ...movRax(BigInt(DATA_AT + page * PAGE)), ...INVLPG_RAX, POP_RAX, ...IRETQ,
  ]
}

function swapHandler(): number[] {
  const [one, spare] = [PAGE, SPARE_PAGE * PAGE]
  return [
    PUSH_RAX, PUSH_RCX, 0x52, 0x48, 0xba, ...quad(kernelAddress(CODE_TABLE)), // mov rdx, table
    0x48, 0x8b, 0x42, 8, 0x48, 0x8b, 0x4a, SPARE_PAGE * 8, // mov rax, [rdx + 8]; mov rcx, [...]
    0x48, 0x89, 0x4a, 8, 0x48, 0x89, 0x42, SPARE_PAGE * 8,
    ...movRax(BigInt(CODE_AT + one)), ...INVLPG_RAX,
    ...movRax(BigInt(CODE_AT + spare)), ...INVLPG_RAX,
    0x5a, POP_RCX, POP_RAX, ...IRETQ,
  ]
}

function handlerOf(vector: number): number[] {
  if (vector === 14) return pageFaultHandler()
  if (vector === INTERRUPT) {
    return [PUSH_RAX, ...movRax(kernelAddress(COUNTS + 64)), 0xff, 0x00, POP_RAX, ...IRETQ]
  }
  if (vector >= UNMAP && vector < UNMAP + DATA_PAGES) return takeAway(vector - UNMAP, 0xfe)
  if (vector >= PROTECT && vector < PROTECT + DATA_PAGES) return takeAway(vector - PROTECT, 0xfd)
  if (vector === SWAP) return swapHandler()
  return [HLT]
}

/** What SYSCALL leads to, behind the handlers of vectors. */
const SYSTEM_CALL = KERNEL + 256 * HANDLER_BYTES
const TEST_RCX = [0x48, 0x85, 0xc9]
const systemCallHandlers = {
  /** Back to where it came from. */
  3: [...TEST_RCX, 0x48, 0x0f, 0x07], // sysretq
  0: [...TEST_RCX, 0x41, 0x53, 0x9d, 0xff, 0xe1], // push r11; popfq; jmp rcx
} as const

/** Regions become wide ones early. */
const BUSY_LIMIT = 3

export class TestMachine {
  readonly cpu: Cpu
  readonly bytes: Uint8Array
  readonly #view: DataView
  readonly #context = new Uint8Array(CPU_CONTEXT_SIZE)

  /** `more` are options of the processor. */
  constructor(
    heatLimit: number,
    more: Partial<Pick<EngineOptions,
      'compiler' | 'kept' | 'busyLimit' | 'giveBackPages' | 'tsc' | 'tscWindow' | 'without'>> = {},
  ) {
    const pages = MACHINE_BYTES / 65536
    const machine = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    this.bytes = new Uint8Array(machine.buffer)
    this.#view = new DataView(machine.buffer)
    for (const block of [0, 1]) {
      this.#view.setUint32(P2M + block * 4, P2M_LEAF + block * LEAF_ENTRIES * 4, true)
    }
    for (let frame = 0; frame < LEAF_ENTRIES * 2; frame++) {
      this.#view.setUint32(P2M_LEAF + frame * 4, frame << P2M_MFN_SHIFT | P2M_RAM_RW, true)
    }
    this.#fillKernel()
    let random = 1
    this.cpu = new Cpu({
      machine, doorbell: DOORBELL, heatLimit, busyLimit: BUSY_LIMIT,
      tsc: () => this.cpu.executed,
      random: () => random++ * 0x9e3779b1 >>> 0,
      ...more,
    })
    this.cpu.setMemory(P2M)
  }

  #fillKernel(): void {
    for (let vector = 0; vector < 256; vector++) {
      const handler = KERNEL + vector * HANDLER_BYTES
      const code = handlerOf(vector)
      this.bytes.set(code, handler)
      const at = kernelAddress(handler)
      const gate = IDT + vector * 16
      const stack = vector === INTERRUPT ? 1n : vector === 14 ? 2n : 3n
      // An interrupt gate that user code may call, to the code segment at 8.
      this.#view.setBigUint64(gate, at & 0xffffn | 0x8_0000n | stack << 32n | 0xee00n << 32n
        | (at >> 16n & 0xffffn) << 48n, true)
      this.#view.setBigUint64(gate + 8, at >> 32n, true)
    }
    const descriptors = [0n, 0x00af_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn, 0n,
      0x00cf_f300_0000_ffffn, 0x00af_fb00_0000_ffffn, 0x00cf_fb00_0000_ffffn,
      0x00cf_9b00_0000_ffffn]
    descriptors.forEach((descriptor, i) => this.#view.setBigUint64(GDT + i * 8, descriptor, true))
    for (let stack = 0; stack < 4; stack++) {
      const top = kernelAddress(STACKS + (stack + 1) * PAGE)
      this.#view.setBigUint64(TSS + (stack === 0 ? 4 : 0x24 + (stack - 1) * 8), top, true)
    }
  }

  #entry(table: number, index: number, target: number, rights: bigint): void {
    this.#view.setBigUint64(table + index * 8, BigInt(target) | rights, true)
  }

  #fillPageTables(): void {
    const [pml4, low, directory] = [TABLES, TABLES + PAGE, TABLES + 2 * PAGE]
    const [high, highDirectory] = [TABLES + 5 * PAGE, TABLES + 6 * PAGE]
    this.bytes.fill(0, TABLES, TABLES + 8 * PAGE)
    this.#entry(pml4, 0, low, USER)
    this.#entry(low, 0, directory, USER)
    this.#entry(directory, CODE_AT >> 21, CODE_TABLE, USER)
    this.#entry(directory, DATA_AT >> 21, DATA_TABLE, USER)
    for (let page = 0; page <= CODE_PAGES; page++) {
      this.#entry(CODE_TABLE, page, CODE + page * PAGE, USER)
      this.#entry(CODE_TABLE, (ALIAS_AT - CODE_AT) / PAGE + page, CODE + page * PAGE,
        USER | NO_EXECUTE)
    }
    for (let page = 0; page < DATA_PAGES; page++) {
      // What is next to a page is not what follows it.
      const frame = page * 5 % DATA_PAGES
      this.#entry(DATA_TABLE, page, DATA + frame * PAGE, USER | NO_EXECUTE)
    }
    for (let page = 0; page < STACK_PAGES; page++) {
      this.#entry(DATA_TABLE, (STACK_AT - DATA_AT) / PAGE + page,
        STACK + (STACK_PAGES - 1 - page) * PAGE,
        USER | NO_EXECUTE)
    }
    // The kernel sees the tables and itself, in one large page of 2 MiB.
    this.#entry(pml4, 256, high, SUPERVISOR)
    this.#entry(high, 0, highDirectory, SUPERVISOR)
    this.#entry(highDirectory, 0, TABLES, SUPERVISOR | 0x80n)
  }

  /** Puts a program in place. */
  load(start: Start): void {
    this.#fillPageTables()
    this.bytes.fill(0xcc, CODE, CODE + (CODE_PAGES + 1) * PAGE)
    this.bytes.set(start.code, CODE)
    this.bytes.set(start.spare, CODE + SPARE_PAGE * PAGE)
    this.bytes.set(start.data, DATA)
    this.bytes.fill(0, STACK, STACK + STACK_PAGES * PAGE)
    this.bytes.fill(0, COUNTS, STACKS + 4 * PAGE)
    this.begin(start)
    this.cpu.flushCode()
  }

  /** Begins with a program that is in place. */
  begin(start: Start): void {
    this.bytes.set(systemCallHandlers[start.cpl], SYSTEM_CALL)
    this.#setContext(start)
    this.cpu.loadContext(this.#context)
  }

  /** Has the frames of the code in another order; before it runs. */
  scatterCode(): void {
    const pages = CODE_PAGES + 1
    const code = this.bytes.slice(CODE, CODE + pages * PAGE)
    for (let page = 0; page < pages; page++) {
      const frame = (CODE >> 12) + (page * 2 + 1) % pages
      this.#view.setUint32(P2M_LEAF + ((CODE >> 12) + page) * 4,
        frame << P2M_MFN_SHIFT | P2M_RAM_RW, true)
      this.bytes.set(code.subarray(page * PAGE, (page + 1) * PAGE), frame * PAGE)
    }
  }

  #setContext(start: Start): void {
    this.#context.fill(0)
    const cpu = CpuContext.on(this.#context.buffer, 0)
    start.registers.forEach((value, i) => cpu.gpr.set(i, value))
    start.vectors.forEach((value, i) => cpu.vector.set((i >> 1) * 4 + (i & 1), value))
    cpu.rip = BigInt(start.entry)
    setFlags(cpu, start.flags | RFLAGS.FIXED | RFLAGS.IF)
    const isLong = start.isLong ?? true
    const code = isLong ? [0x08, 0x2b] : [0x38, 0x33]
    const data = start.cpl === 3 ? 0x23 : 0x10
    const access = start.cpl << 5
    for (let i = 0; i < 6; i++) {
      const segment = cpu.segments.item(i)
      segment.selector = i === 1 ? code[start.cpl & 1]! : data
      segment.attributes = (i === 1 && isLong ? 0xa9b : i === 1 ? 0xc9b : 0xc93) | access
      segment.limit = 0xffff_ffff
    }
    cpu.segments.item(FS).base = BigInt(FS_BASE)
    cpu.segments.item(GS).base = BigInt(GS_BASE)
    cpu.tr.base = kernelAddress(TSS)
    cpu.tr.limit = 0x67
    cpu.tr.attributes = 0x8b
    cpu.tr.selector = 0x18
    cpu.gdtr.base = kernelAddress(GDT)
    cpu.gdtr.limit = 0x3f
    cpu.idtr.base = kernelAddress(IDT)
    cpu.idtr.limit = 256 * 16 - 1
    cpu.cr0 = 0x8005_0033n
    cpu.cr3 = BigInt(TABLES)
    cpu.cr4 = 0x4_0620n
    cpu.efer = 0xd01n
    cpu.star = 0x18_0008n << 32n
    cpu.lstar = kernelAddress(SYSTEM_CALL)
    cpu.sfmask = BigInt(RFLAGS.IF | RFLAGS.DF | RFLAGS.AC)
    cpu.xcr0 = 7n
    cpu.cpl = start.cpl
    cpu.mxcsr = 0x1f80
    cpu.x87Control = 0x37f
  }

  /** Has the processor forget the program's code. */
  forgetCode(): void {
    for (let page = 0; page <= CODE_PAGES; page++) this.cpu.forgetCode(CODE + page * PAGE)
  }

  run(budget: number, exactly = false): ExitKind {
    return this.cpu.run(budget, exactly)
  }

  /** An interrupt, if the program lets it in. */
  interrupt(): void {
    if (this.cpu.canTakeInterrupt()) this.cpu.injectInterrupt(INTERRUPT)
  }

  /** After the HLT of an exception's handler: which it was, words of its frame from RIP on,
   * the frames of the data, and the pages of the stack. */
  ended() {
    const vector = Number(this.cpu.context.rip - kernelAddress(KERNEL)) >> 7
    const top = STACKS + (vector === 14 ? 3 : 4) * PAGE
    const page = (at: number): Uint8Array => this.bytes.subarray(at, at + PAGE)
    return {
      vector, frame: (word: number) => this.#view.getBigUint64(top - 40 + word * 8, true),
      data: this.bytes.subarray(DATA, DATA + DATA_PAGES * PAGE),
      stack: Array.from({ length: STACK_PAGES }, (_, i) =>
        page(STACK + (STACK_PAGES - 1 - i) * PAGE)),
    }
  }

  /** Says where this machine differs from another; unless `wholly`, but for accessed bits of the
   * code's pages. */
  differences(other: TestMachine, wholly: boolean): string[] {
    const found = registerDifferences(this.cpu, other.cpu)
    for (const [name, from, to] of observed) {
      const [a, b] = [this.bytes.subarray(from, to), other.bytes.subarray(from, to)]
      if (Buffer.compare(a, b) === 0) continue
      const at = a.findIndex((byte, i) => byte !== b[i])
      found.push(`${name} at ${at.toString(16)}: ${a[at]!.toString(16)} and ${b[at]!.toString(16)}`)
    }
    for (let page = 0; page < 32; page++) {
      const at = CODE_TABLE + page * 8
      const ignored = wholly ? 0 : ACCESSED
      const [a, b] = [this.bytes[at]! & ~ignored, other.bytes[at]! & ~ignored]
      if (a !== b) found.push(`entry of code page ${page}: ${a.toString(16)} and ${b.toString(16)}`)
    }
    return found
  }
}
