/**
 * FXSAVE, XSAVE and their kin in WebAssembly against their services: random states, areas, masks
 * and places. Single steps are always the services'.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CR0, CR4 } from '../../src/abi/x86/control.ts'
import { RAX, RBX, RDX } from '../../src/abi/x86/registers.ts'
import { coreMap } from '../../src/cpu/core-memory.ts'
import { MachineAdapter } from '../../src/cpu/interpreter/machine-adapter.ts'
import { CPU_CONTEXT_SIZE } from '../../src/cpu/state.ts'
import { AREA, COMPACT, MXCSR_DEFAULT } from '../../src/cpu/system/xsave-area.ts'
import { Random } from '../isa/decoder/byte-strings.ts'
import { CODE_AT, DATA_AT, DATA_PAGES, STACK_TOP, TestMachine } from './machine.ts'

const seed = Number(process.env['JIT_SEED'] ?? 1)
const PAGE = 4096

/** With RBX as operand; REX.W in front makes them wide. */
const instructions = {
  fxsave: [0x0f, 0xae, 0x03],
  fxrstor: [0x0f, 0xae, 0x0b],
  xsave: [0x0f, 0xae, 0x23],
  xsaveopt: [0x0f, 0xae, 0x33],
  xsavec: [0x0f, 0xc7, 0x23],
  xsaves: [0x0f, 0xc7, 0x2b],
  xrstor: [0x0f, 0xae, 0x2b],
  xrstors: [0x0f, 0xc7, 0x1b],
} as const

type Name = keyof typeof instructions

interface Case {
  readonly name: Name
  readonly wide: boolean
  readonly cpl: 0 | 3
  /** Where the area is. */
  readonly at: number
  /** What is not usual: the service must see it. */
  readonly isUnusual: boolean
}

/** The places in `DATA` of the area's bytes, whose pages do not follow one another. */
class Filled {
  readonly random: Random
  readonly data = new Uint8Array(DATA_PAGES * PAGE)
  readonly #view = new DataView(this.data.buffer)

  constructor(random: Random) {
    this.random = random
    for (let i = 0; i < this.data.length; i++) this.data[i] = random.below(256)
  }

  set(linear: number, value: bigint): void {
    const page = Math.floor((linear - DATA_AT) / PAGE)
    this.#view.setBigUint64(page * 5 % DATA_PAGES * PAGE + linear % PAGE, value, true)
  }

  /** A header that mostly holds. */
  header({ at, name }: Case, wanted: bigint): void {
    const { random } = this
    const present = BigInt(random.below(8))
    const compact = name === 'xrstors' || random.below(2) === 0
    const spoiled = (bit: bigint): bigint => random.below(40) === 0 ? bit : 0n
    this.set(at + AREA.components, (compact ? present & wanted : present) | spoiled(0x100n))
    this.set(at + AREA.format, (compact ? COMPACT | wanted : 0n) | spoiled(0x10n))
    for (let word = 0; word < 6; word++) this.set(at + AREA.reserved + word * 8, spoiled(1n))
    this.set(at + AREA.mxcsr, BigInt(random.below(0x10000)) | spoiled(0x2_0000n))
  }
}

function makeCase(random: Random): Case {
  const names = Object.keys(instructions) as Name[]
  const name = names[random.below(names.length)]!
  const isImage = name.startsWith('f')
  const unit = isImage ? 16 : 64
  const [lines, crossing] = [PAGE / unit, (isImage ? 512 : 832) / unit]
  const crosses = random.below(3) === 0
  const line = crosses ? lines - random.below(crossing) : random.below(lines - crossing + 1)
  const page = random.below(DATA_PAGES)
  const misplaced = random.below(30) === 0 ? 8 : 0
  const cpl = random.below(2) === 0 ? 0 : 3
  return {
    name, wide: random.below(2) === 0, cpl, at: DATA_AT + page * PAGE + line * unit + misplaced,
    isUnusual: misplaced !== 0 || cpl === 3 && name.endsWith('s'),
  }
}

/** Registers that are often, as a whole, in their initial state. */
function fillRegisters(machine: TestMachine, random: Random): void {
  const { context } = machine.cpu
  const word = (): bigint => BigInt(random.below(2 ** 32)) << 32n | BigInt(random.below(2 ** 32))
  for (const half of [0, 2]) {
    const used = random.below(3)
    for (let i = 0; i < 16; i++) {
      const filled = used === 0 || used === 1 && i === random.below(16)
      context.vector.set(i * 4 + half, filled ? word() : 0n)
      context.vector.set(i * 4 + half + 1, filled ? word() : 0n)
    }
  }
  if (random.below(2) === 0) {
    for (let i = 0; i < 8; i++) {
      context.x87.item(i).significand = word()
      context.x87.item(i).signExponent = random.below(0x10000)
    }
    const pending = random.below(3) === 0
    context.x87Control = pending ? 0x37b : 0x37f
    context.x87Status = random.below(8) << 11 | (pending ? 0x8084 : 0)
    context.x87Tags = random.below(256)
    context.x87LastIp = word()
    context.x87LastDp = word()
    context.x87LastCs = random.below(0x10000)
    context.x87LastDs = random.below(0x10000)
    context.x87LastOpcode = random.below(0x800)
  }
  context.mxcsr = random.below(3) === 0 ? MXCSR_DEFAULT : random.below(0x10000)
  context.xcr0 = [1n, 3n, 7n, 7n][random.below(4)]!
  if (random.below(40) === 0) context.cr0 |= BigInt(CR0.TS)
  if (random.below(40) === 0) context.cr0 |= BigInt(CR0.EM)
  if (random.below(40) === 0) context.cr4 &= ~BigInt(CR4.OSXSAVE)
}

/** A machine before the case's instruction, whose end is a HLT at CPL 0 and its fault at CPL 3. */
function prepare(machine: TestMachine, one: Case, caseSeed: number): void {
  const random = new Random(caseSeed)
  const filled = new Filled(random)
  const wanted = BigInt(random.below(8))
  filled.header(one, wanted)
  const [first, ...rest] = instructions[one.name]
  const code = one.wide ? [0x48, first, ...rest] : [first, ...rest]
  const registers = Array.from({ length: 16 }, () => BigInt(STACK_TOP))
  registers[RBX] = BigInt(one.at)
  registers[RAX] = wanted | BigInt(random.below(2) * 0x100)
  registers[RDX] = BigInt(random.below(2))
  const vectors = Array.from({ length: 32 }, () => 0n)
  machine.load({
    code: Uint8Array.from([...code, 0xf4]), spare: new Uint8Array(), entry: CODE_AT,
    data: filled.data, registers, vectors, flags: 0, cpl: one.cpl,
  })
  fillRegisters(machine, random)
  machine.cpu.modeChanged()
}

/** How often a service carried out one of the instructions. */
function countServices(): { readonly count: () => number, stop(): void } {
  let count = 0
  const { prototype } = MachineAdapter
  const { begin } = prototype
  prototype.begin = function (instruction, ...places) {
    if (instruction.definition.name in instructions) count += 1
    begin.call(this, instruction, ...places)
  }
  return { count: () => count, stop: () => { prototype.begin = begin } }
}

function contextOf(machine: TestMachine): string {
  const { buffer } = machine.cpu.context.bytes
  return Buffer.from(buffer, coreMap.context, CPU_CONTEXT_SIZE).toString('hex')
}

test('the extended state is saved and loaded as by services', (t) => {
  const [usual, stepped] = [new TestMachine(0), new TestMachine(0)]
  const services = countServices()
  t.after(() => services.stop())
  const random = new Random(seed)
  const counts = { usual: 0, faults: 0 }
  for (let i = 0; i < 4000; i++) {
    const one = makeCase(random)
    const caseSeed = random.below(2 ** 31)
    for (const machine of [usual, stepped]) prepare(machine, one, caseSeed)
    const before = services.count()
    assert.equal(usual.run(1000), 'halt')
    const asked = services.count() - before
    for (let exit; exit === undefined;) exit = stepped.cpu.step()
    const told = `seed ${seed}, case ${i}: ${JSON.stringify(one)}`
    assert.deepEqual(usual.differences(stepped, true), [], told)
    assert.equal(contextOf(usual), contextOf(stepped), told)
    const faulted = usual.cpu.context.rip > BigInt(CODE_AT + 8)
    if (faulted) counts.faults += 1
    else assert.equal(asked, 0, `${told} is not left to the service`)
    if (!one.isUnusual && !faulted) counts.usual += 1
  }
  assert.ok(counts.usual > 1000 && counts.faults > 100, JSON.stringify(counts))
})
