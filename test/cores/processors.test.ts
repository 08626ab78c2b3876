/**
 * Two processors over one memory, one at a time: what each tells of code and of stores, which
 * locked instructions wait for the bus, and what is known of the memory of vcpus that take turns.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cpu } from '../../src/cpu/cpu.ts'
import { codeUse, storeUse } from '../../src/cpu/mmu/frame-uses.ts'
import { LEAF_ENTRIES, P2M_MFN_SHIFT, P2M_RAM_RW } from '../../src/cpu/p2m-format.ts'
import { CPU_CONTEXT_SIZE, CpuContext } from '../../src/cpu/state.ts'
import { startState } from '../../src/guest/pvh/startup.ts'

const PAGES = 64
const DOORBELLS = 0x1000
const P2M = 0x10_0000
const LEAF = 0x12_0000
/** Of another domain. */
const [OTHER_P2M, OTHER_LEAF] = [0x14_0000, 0x16_0000]
const USES = 0x20_0000
const TSC_TOLD = 0x1800
const PAIR_LOCK = 0x1840
/** Pages of code of the two processors, and of data. */
const [CODE_A, CODE_B, DATA] = [0x8000, 0x9000, 0xa000]
const HLT = 0xf4

class Pair {
  readonly #memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true })
  readonly bytes = new Uint8Array(this.#memory.buffer)
  readonly words = new Uint32Array(this.#memory.buffer)
  /** What the clock of each processor says. */
  readonly ticks: [number, number] = [0, 0]
  /** What the processors have told, as "B stores to 8000". */
  readonly told: string[] = []
  readonly a: Cpu
  readonly b: Cpu

  constructor() {
    for (const [directory, leaf] of [[P2M, LEAF], [OTHER_P2M, OTHER_LEAF]] as const) {
      this.words[directory >>> 2] = leaf
      for (let gfn = 0; gfn < LEAF_ENTRIES; gfn++) this.map(leaf, gfn, gfn)
    }
    this.a = this.#processor('A', 0, CODE_A)
    this.b = this.#processor('B', 1, CODE_B)
  }

  #processor(name: string, processor: number, code: number): Cpu {
    const tell = (what: string) => (machine: number) =>
      void this.told.push(`${name} ${what} ${(machine & -4096).toString(16)}`)
    const cpu = new Cpu({
      machine: this.#memory, doorbell: DOORBELLS + processor * 64, random: () => 0,
      tsc: () => this.ticks[processor]!, tscWindow: 1000,
      shared: {
        frameUses: USES, processor, others: true, tscTold: TSC_TOLD, pairLock: PAIR_LOCK,
        storing: tell('stores to'),
        decoding: tell('decodes'),
      },
    })
    const bytes = new Uint8Array(CPU_CONTEXT_SIZE)
    const context = CpuContext.on(bytes)
    startState(context, code >>> 12, 0)
    cpu.setMemory(P2M)
    cpu.loadContext(bytes)
    return cpu
  }

  map(leaf: number, gfn: number, mfn: number): void {
    this.words[(leaf >>> 2) + gfn] = (mfn << P2M_MFN_SHIFT | P2M_RAM_RW) >>> 0
  }

  /** Puts code where a processor begins, whatever others know of it. */
  code(at: number, ...bytes: number[]): void {
    this.bytes.set([...bytes, HLT], at)
  }

  /** Runs from the start of the code segment; AX. */
  run(cpu: Cpu): number {
    cpu.context.rip = 0n
    assert.equal(cpu.run(1000), 'halt')
    return Number(cpu.context.gpr.get(0) & 0xffffn)
  }

  uses(machine: number): number {
    return new Int32Array(this.#memory.buffer)[(USES >>> 2) + (machine >>> 12)]!
  }
}

const movAx = (value: number) => [0xb8, value, 0]
const jump = (to: number) => [0xe9, to - 3 & 0xff, to - 3 >> 8]
const storeByte = (at: number, value: number) => [0xc6, 0x06, at & 0xff, at >>> 8, value]

test('who stores to code that another has decoded tells of it', () => {
  const pair = new Pair()
  pair.code(CODE_A, ...movAx(1))
  pair.code(CODE_B, ...storeByte(CODE_A + 1, 2))
  assert.equal(pair.run(pair.a), 1)
  assert.deepEqual(pair.told, [])
  pair.run(pair.b)
  assert.deepEqual(pair.told, ['B stores to 8000'])
  assert.equal(pair.uses(CODE_A), codeUse(0) | storeUse(1))
  pair.a.forgetCode(CODE_A)
  assert.equal(pair.run(pair.a), 2)
})

test('who decodes code to which another stores asks, and is told of stores after that', () => {
  const pair = new Pair()
  pair.code(CODE_A, ...movAx(1))
  pair.code(CODE_B, ...storeByte(CODE_A + 1, 2))
  pair.run(pair.b)
  assert.equal(pair.run(pair.a), 2)
  assert.deepEqual(pair.told, ['A decodes 8000'])
  const told = ['A decodes 8000', 'B stores to 8000']
  pair.b.forgetStores(CODE_A)
  assert.deepEqual(pair.told, told, 'it may have stored since')
  pair.b.forgetStores(CODE_A)
  assert.deepEqual(pair.told, told)
  assert.equal(pair.uses(CODE_A), codeUse(0))
  pair.run(pair.b)
  assert.deepEqual(pair.told, [...told, 'B stores to 8000'])
})

test('who comes to decode code to which it stores tells others of what it stored', () => {
  const pair = new Pair()
  const target = CODE_B + 0x80
  pair.code(CODE_B, ...movAx(1))
  pair.code(target, ...movAx(3))
  pair.code(CODE_A, ...storeByte(CODE_B + 1, 2))
  pair.run(pair.a)
  assert.equal(pair.run(pair.b), 2)
  pair.code(CODE_A, ...jump(target - CODE_A))
  pair.a.forgetCode(CODE_A)
  assert.equal(pair.run(pair.a), 3)
  assert.deepEqual(pair.told, ['B decodes 9000', 'A stores to 9000'])
  assert.equal(pair.uses(CODE_B), codeUse(0) | codeUse(1))
})

test('code that is forgotten is no longer told of', () => {
  const pair = new Pair()
  pair.code(CODE_A, ...movAx(1))
  pair.code(CODE_B, ...storeByte(CODE_A + 1, 2))
  pair.run(pair.a)
  pair.a.forgetCode(CODE_A)
  assert.equal(pair.uses(CODE_A), 0)
  pair.run(pair.b)
  assert.deepEqual(pair.told, [])
})

const lockedInc = (at: number) => [0xf0, 0xff, 0x06, at & 0xff, at >>> 8]

for (const [name, at] of [
  ['is not aligned', DATA + 1], ['crosses pages', DATA + 0xfff],
  ['has decoded code around it', CODE_A + 2],
] as const) {
  test(`a locked instruction whose operand ${name} waits for the bus, and nothing happens`, () => {
    const pair = new Pair()
    pair.code(CODE_A, ...lockedInc(at), ...movAx(7))
    const before = pair.bytes[at]!
    pair.a.context.rip = 0n
    assert.equal(pair.a.run(1000), 'bus-lock')
    assert.equal(pair.bytes[at], before)
    assert.equal(pair.a.context.rip, 0n)
    pair.a.shareBus(false)
    pair.a.run(1)
    assert.equal(pair.bytes[at], before + 1)
  })
}

test('a locked instruction on aligned memory does not', () => {
  const pair = new Pair()
  const lockedBts = [0xf0, 0x0f, 0xab, 0x06, 0, DATA >>> 8]
  pair.code(CODE_A, ...lockedInc(DATA + 0x100), ...movAx(9), ...lockedBts)
  pair.run(pair.a)
  assert.equal(pair.bytes[DATA + 0x100], 1)
  assert.equal(pair.bytes[DATA + 1], 2)
  // The same again, through the TLB.
  pair.run(pair.a)
  assert.equal(pair.bytes[DATA + 0x100], 2)
})

/** From real mode to CPL `cpl` of 64-bit code, as far as an exchange of 16 bytes at DATA sees. */
function inLongMode(pair: Pair, cpl: number): void {
  for (const cpu of [pair.a, pair.b]) {
    const { context } = cpu
    // Tables that map the first 2 MiB to themselves, for programs too.
    for (const [at, entry] of [[0xc000, 0xd007], [0xd000, 0xe007], [0xe000, 0x87]] as const) {
      pair.words[at >>> 2] = entry
    }
    context.cr3 = 0xc000n
    context.cr4 = 0x20n
    context.efer = 0x500n
    context.cr0 = 0x8000_0001n
    const code = context.segments.item(1)
    code.attributes = 0x29b | cpl << 5
    context.cpl = cpl
    const saved = new Uint8Array(CPU_CONTEXT_SIZE)
    cpu.saveContext(saved)
    cpu.loadContext(saved)
  }
}

/** LOCK CMPXCHG16B at RDI, and a jump to itself. */
const exchangePair = [0xf0, 0x48, 0x0f, 0xc7, 0x0f, 0xeb, 0xfe]

test('a kernel exchanges 16 bytes without the bus, unless another processor does just then', () => {
  const pair = new Pair()
  pair.code(CODE_A, ...exchangePair)
  inLongMode(pair, 0)
  const { context } = pair.a
  const halves = new BigUint64Array(pair.bytes.buffer, DATA, 2)
  const exchange = (expected: readonly bigint[]): string => {
    context.rip = BigInt(CODE_A)
    for (const [register, value] of [[0, expected[0]!], [2, expected[1]!], [3, 7n], [1, 8n],
      [7, BigInt(DATA)]] as const) context.gpr.set(register, value)
    return pair.a.run(1)
  }
  halves.set([1n, 2n])
  assert.equal(exchange([1n, 3n]), 'budget')
  assert.deepEqual([...halves], [1n, 2n])
  assert.deepEqual([context.gpr.get(0), context.gpr.get(2), context.zf === 0n], [1n, 2n, false])
  assert.equal(exchange([1n, 2n]), 'budget')
  assert.deepEqual([[...halves], context.zf === 0n], [[7n, 8n], true])
  assert.equal(pair.words[PAIR_LOCK >>> 2], 0)
  pair.words[PAIR_LOCK >>> 2] = 1
  assert.equal(exchange([7n, 8n]), 'bus-lock')
  assert.deepEqual([...halves], [7n, 8n])
})

test('a program waits for the bus to exchange 16 bytes', () => {
  const pair = new Pair()
  pair.code(CODE_A, ...exchangePair)
  inLongMode(pair, 3)
  pair.a.context.gpr.set(7, BigInt(DATA))
  pair.a.context.rip = BigInt(CODE_A)
  assert.equal(pair.a.run(1), 'bus-lock')
  pair.a.shareBus(false)
  assert.equal(pair.a.run(1), 'budget')
  assert.equal(pair.a.context.gpr.get(0), 0n)
})

const loadByte = (at: number) => [0xa0, at & 0xff, at >>> 8]

/** One processor, and what each of two vcpus reads by the same code when it comes in. */
function inTurns() {
  const pair = new Pair()
  pair.code(CODE_A, ...loadByte(DATA))
  pair.bytes.set([1, 2, 3], DATA)
  for (let page = 1; page < 3; page++) pair.bytes[DATA + page * 4096] = page + 1
  const saved = new Uint8Array(CPU_CONTEXT_SIZE)
  pair.a.saveContext(saved)
  return {
    pair,
    comes: (owner: number, p2m: number, anew: boolean) => {
      pair.a.setMemory(p2m)
      pair.a.loadContext(saved, owner, anew)
    },
    reads: () => pair.run(pair.a) & 0xff,
    remap: (leaf: number, page: number) => pair.map(leaf, DATA >>> 12, (DATA >>> 12) + page),
  }
}

test('a vcpu of another domain sees its own memory at the same addresses', () => {
  const { comes, reads, remap } = inTurns()
  remap(OTHER_LEAF, 1)
  for (let round = 0; round < 3; round++) {
    for (const [owner, p2m, value] of [[1, P2M, 1], [2, OTHER_P2M, 2]] as const) {
      comes(owner, p2m, round === 0)
      assert.equal(reads(), value)
    }
  }
})

test('another vcpu\'s entries for stores are dropped with all', () => {
  const { pair, comes } = inTurns()
  comes(1, P2M, true)
  pair.code(CODE_A, ...storeByte(DATA, 9))
  pair.run(pair.a)
  comes(2, OTHER_P2M, true)
  assert.equal(pair.uses(DATA), storeUse(0))
  pair.a.forgetStores(DATA)
  assert.equal(pair.uses(DATA), 0)
  comes(1, P2M, false)
  pair.run(pair.a)
  assert.equal(pair.uses(DATA), storeUse(0), 'it asks anew')
})

test('what one processor was told of the time, another is told no earlier', () => {
  const pair = new Pair()
  const RDTSC = [0x0f, 0x31]
  pair.code(CODE_A, ...RDTSC)
  pair.code(CODE_B, ...RDTSC)
  pair.ticks[0] = 1000
  pair.ticks[1] = 900
  assert.deepEqual([pair.run(pair.a), pair.run(pair.b), pair.run(pair.a)], [1000, 1001, 1002])
  pair.ticks[1] = 2000
  assert.deepEqual([pair.run(pair.b), pair.run(pair.a)], [2000, 2001])
})
