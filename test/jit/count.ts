/**
 * Counts WebAssembly's instructions in compiled regions: how many there are, and how many are
 * executed. For that, code that adds to a counter in core memory is put into the regions.
 */
import { assert } from '../../src/base/assert.ts'
import { coreMap } from '../../src/cpu/core-memory.ts'
import type { Without } from '../../src/cpu/jit/features.ts'
import { Bytes } from '../../src/wasm/bytes.ts'
import { replaceRegions } from './collect.ts'
import { type Start, TestMachine } from './machine.ts'
import {
  readModule, type WasmFunction, type WasmInstruction, type WasmModule,
} from './wasm-reader.ts'

/** Where few programs have records. */
const COUNTER = coreMap.end - 8
const HEAT_LIMIT = 50
const BUDGET = 1_000_000

export interface Counts {
  /** Executed in regions, for each instruction of the guest; the first rounds are interpreted. */
  readonly executed: number
  readonly regions: readonly WasmFunction[]
  /** Of the modules that they are in. */
  readonly imports: WasmModule['imports']
}

/** Runs a program to its end and counts; compiling leaves some features out. */
export function countsOf(program: Start, without: Without = []): Counts {
  const regions: WasmFunction[] = []
  let imports: WasmModule['imports'] = []
  const machine = new TestMachine(HEAT_LIMIT, { busyLimit: BUDGET, without })
  machine.load(program)
  replaceRegions((bytes) => {
    const module = readModule(bytes)
    regions.push(...module.functions)
    imports = module.imports
    return withCounter(bytes)
  }, () => assert(machine.run(BUDGET) === 'halt', 'the program ends'))
  const instructions = BUDGET - machine.cpu.control.budget
  const executed = machine.cpu.control.bytes.getBigUint64(COUNTER, true)
  return { executed: Number(executed) / instructions, regions, imports }
}

const structure = new Set([0x01, 0x02, 0x03, 0x05, 0x0b])

/** Instructions that do something. */
export function sizeOf(instructions: readonly WasmInstruction[]): number {
  return instructions.filter(({ opcode }) => !structure.has(opcode)).length
}

/** Behind these, code is executed as often as something else is. */
const ends = new Set([0x03, 0x04, 0x05, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x12])

/** The module with a counter in its functions. */
function withCounter(bytes: Uint8Array): Uint8Array {
  const { functions, sections } = readModule(bytes)
  const out = new Bytes()
  out.append(bytes.subarray(0, 8))
  for (const { id, from, to } of sections) {
    // Custom sections speak of places in the code.
    if (id === 0) continue
    const content = new Bytes()
    if (id === 10) {
      content.u32(functions.length)
      for (const f of functions) content.sized(countingBody(bytes, f))
    } else {
      content.append(bytes.subarray(from, to))
    }
    out.byte(id)
    out.sized(content)
  }
  return out.view().slice()
}

function countingBody(bytes: Uint8Array, { instructions, from }: WasmFunction): Bytes {
  const body = new Bytes()
  body.append(bytes.subarray(from, instructions[0]!.from))
  let run: WasmInstruction[] = []
  const finish = (): void => {
    const size = sizeOf(run)
    if (size > 0) addToCounter(body, size)
    for (const instruction of run) body.append(bytes.subarray(instruction.from, instruction.to))
    run = []
  }
  for (const instruction of instructions) {
    // What ends a block is reached from elsewhere too.
    if (instruction.opcode === 0x0b || instruction.opcode === 0x05) finish()
    run.push(instruction)
    if (ends.has(instruction.opcode)) finish()
  }
  finish()
  return body
}

function addToCounter(body: Bytes, size: number): void {
  for (let i = 0; i < 2; i++) {
    body.byte(0x41)
    body.s32(COUNTER)
  }
  for (const byte of [0x29, 0, 0, 0x42]) body.byte(byte)
  body.s64(BigInt(size))
  for (const byte of [0x7c, 0x37, 0, 0]) body.byte(byte)
}
