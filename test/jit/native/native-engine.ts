/**
 * The host CPU, which runs whole programs: harness.c, built by gcc; and the states in which a
 * program ends there and in a test machine, in one form.
 */
import { Harness } from '../../isa/host/harness.ts'
import { RAX, RCX, RSP } from '../encoder.ts'
import { CODE_PAGES, DATA_PAGES, type Start, type TestMachine } from '../machine.ts'

const PAGE = 4096
const PROGRAM = { flags: 128, entry: 136, legacy: 144, xmm: 152, code: 512 } as const
const PROGRAM_BYTES = PROGRAM.code + (CODE_PAGES + 1 + DATA_PAGES) * PAGE
const OUTCOME = { flags: 128, rip: 136, vector: 144, state: 160, data: 992 } as const
const OUTCOME_BYTES = OUTCOME.data + (DATA_PAGES + 2) * PAGE
/** Flags that programs can see, without IF and those that Linux or the machine adds. */
const FLAGS = 0xcd5n
const [WENT_ASTRAY, PAGE_FAULT, STACK_FAULT, GENERAL_PROTECTION] = [-1, 14, 12, 13]

/** How a program ended: names of parts of the state to their values. */
export type Ending = ReadonlyMap<string, bigint>

export class NativeEngine implements Disposable {
  readonly #harness: Harness

  private constructor(harness: Harness) {
    this.#harness = harness
  }

  /** Undefined, with the reason printed, where there is no gcc or the host is no x86-64. */
  static make(): NativeEngine | undefined {
    const source = new URL('./harness.c', import.meta.url)
    const harness = Harness.make('native programs', source, '-fno-stack-protector')
    return harness && new NativeEngine(harness)
  }

  /** Undefined for a program that called the system. */
  run(programs: readonly Start[]): (Ending | undefined)[] {
    const input = Buffer.concat(programs.map(bytesOf))
    const output = this.#harness.run(input, programs.length * OUTCOME_BYTES)
    return programs.map((_, i) =>
      endingOf(output.subarray(i * OUTCOME_BYTES, (i + 1) * OUTCOME_BYTES)))
  }

  [Symbol.dispose](): void {
    this.#harness[Symbol.dispose]()
  }
}

/** Data of a machine, whose frames are in another order than its pages. */
function dataOf(frames: Uint8Array): Uint8Array[] {
  return Array.from({ length: DATA_PAGES }, (_, page) => {
    const at = page * 5 % DATA_PAGES * PAGE
    return frames.subarray(at, at + PAGE)
  })
}

function bytesOf(start: Start): Uint8Array {
  const bytes = new Uint8Array(PROGRAM_BYTES)
  const view = new DataView(bytes.buffer)
  start.registers.forEach((value, i) => view.setBigUint64(i * 8, value, true))
  view.setBigUint64(PROGRAM.flags, BigInt(start.flags | 0x202), true)
  view.setBigUint64(PROGRAM.entry, BigInt(start.entry), true)
  view.setBigUint64(PROGRAM.legacy, start.isLong === false ? 1n : 0n, true)
  start.vectors.forEach((value, i) => view.setBigUint64(PROGRAM.xmm + i * 8, value, true))
  bytes.set(start.code, PROGRAM.code)
  bytes.set(start.spare, PROGRAM.code + CODE_PAGES * PAGE)
  const data = PROGRAM.code + (CODE_PAGES + 1) * PAGE
  dataOf(start.data).forEach((page, i) => bytes.set(page, data + i * PAGE))
  return bytes
}

function vectorOf(vector: number): bigint {
  return BigInt(vector === STACK_FAULT ? GENERAL_PROTECTION : vector)
}

class Noted {
  readonly ending = new Map<string, bigint>()

  note(name: string, value: bigint): void {
    this.ending.set(name, BigInt.asUintN(64, value))
  }

  notePages(pages: readonly Uint8Array[], name: string): void {
    pages.forEach((page, number) => {
      const view = new DataView(page.buffer, page.byteOffset)
      for (let at = 0; at < PAGE; at += 8) {
        this.note(`${name} ${(number * PAGE + at).toString(16)}`, view.getBigUint64(at, true))
      }
    })
  }
}

function endingOf(outcome: Uint8Array): Ending | undefined {
  const view = new DataView(outcome.buffer, outcome.byteOffset)
  const quad = (at: number): bigint => view.getBigUint64(at, true)
  const vector = Number(view.getBigInt64(OUTCOME.vector, true))
  if (vector === WENT_ASTRAY) return undefined
  const noted = new Noted()
  noted.note('vector', vectorOf(vector))
  noted.note('rip', quad(OUTCOME.rip))
  noted.note('flags', quad(OUTCOME.flags) & FLAGS)
  for (let i = 0; i < 16; i++) noted.note(`gpr ${i}`, quad(i * 8))
  const { state } = OUTCOME
  for (let i = 0; i < 16; i++) for (const half of [0, 1]) {
    noted.note(`xmm ${i}.${half}`, quad(state + 160 + i * 16 + half * 8))
    noted.note(`ymm ${i}.${half}`, quad(state + 576 + i * 16 + half * 8))
  }
  noted.note('control', BigInt(view.getUint16(state, true)))
  noted.note('status', BigInt(view.getUint16(state + 2, true)))
  noted.note('tags', BigInt(view.getUint8(state + 4)))
  noted.note('mxcsr', BigInt(view.getUint32(state + 24, true)))
  for (let i = 0; i < 8; i++) {
    noted.note(`st ${i}`, quad(state + 32 + i * 16))
    noted.note(`st ${i} exponent`, BigInt(view.getUint16(state + 40 + i * 16, true)))
  }
  const pages = Array.from({ length: DATA_PAGES + 2 }, (_, page) =>
    outcome.subarray(OUTCOME.data + page * PAGE, OUTCOME.data + (page + 1) * PAGE))
  noted.notePages(pages, 'memory')
  return noted.ending
}

/** The same of a machine that has halted in the handler of an exception. */
export function endingOfMachine(machine: TestMachine): Ending {
  const { context } = machine.cpu
  const { vector, frame, data, stack } = machine.ended()
  const isPageFault = vector === PAGE_FAULT
  const noted = new Noted()
  noted.note('vector', vectorOf(vector))
  noted.note('rip', frame(0))
  noted.note('flags', frame(2) & FLAGS)
  for (let i = 0; i < 16; i++) {
    // The handler of page faults has pushed RAX and RCX below the error code.
    const pushed = i === RSP ? 3 : isPageFault && i === RAX ? -2 : isPageFault && i === RCX ? -3
      : undefined
    noted.note(`gpr ${i}`, pushed === undefined ? context.gpr.get(i) : frame(pushed))
  }
  for (let i = 0; i < 16; i++) for (const half of [0, 1]) {
    noted.note(`xmm ${i}.${half}`, context.vector.get(i * 4 + half))
    noted.note(`ymm ${i}.${half}`, context.vector.get(i * 4 + 2 + half))
  }
  noted.note('control', BigInt(context.x87Control))
  noted.note('status', BigInt(context.x87Status))
  noted.note('tags', BigInt(context.x87Tags))
  noted.note('mxcsr', BigInt(context.mxcsr))
  const top = context.x87Status >> 11 & 7
  for (let i = 0; i < 8; i++) {
    const register = context.x87.item(top + i & 7)
    noted.note(`st ${i}`, register.significand)
    noted.note(`st ${i} exponent`, BigInt(register.signExponent))
  }
  noted.notePages([...dataOf(data), ...stack], 'memory')
  return noted.ending
}

/** Where the second differs from the first, in words. */
export function endingDifferences(host: Ending, ours: Ending): string[] {
  return [...host].flatMap(([name, value]) => {
    const found = ours.get(name)
    return found === value ? [] : [`${name}: ${found?.toString(16)} for ${value.toString(16)}`]
  })
}
