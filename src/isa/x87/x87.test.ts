/**
 * The x87 unit by hand-made examples, on the reference's state. (All rows are compared with the
 * host CPU by test/isa/host.)
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runInstruction } from '../backends/reference-run.ts'
import { ReferenceMachine } from '../backends/reference-machine.ts'
import {
  ReferenceFault, ReferenceState, type ReferenceMemory,
} from '../backends/reference-state.ts'
import { makeDecoder } from '../decode/decoder.ts'
import { allInstructions } from '../instructions/all.ts'
import { x87Instructions } from '../instructions/x87.ts'
import { x87Services } from './services.ts'

const decode = makeDecoder(allInstructions)
const PAGE = 4096

class Page implements ReferenceMemory {
  readonly bytes = new Uint8Array(PAGE)

  load(address: bigint, size: number): bigint {
    let value = 0n
    for (let i = size - 1; i >= 0; i--) {
      value = value << 8n | BigInt(this.bytes[this.#at(address, i)]!)
    }
    return value
  }

  store(address: bigint, size: number, value: bigint): void {
    for (let i = 0; i < size; i++) {
      this.bytes[this.#at(address, i)] = Number(value >> BigInt(i * 8) & 0xffn)
    }
  }

  probeWrite(): void {}

  #at(address: bigint, byte: number): number {
    return Number(address & BigInt(PAGE - 1)) + byte
  }
}

/** A unit as after FNINIT; rAX points to its memory. */
function unit(): ReferenceState {
  const state = new ReferenceState(new Page())
  run(state, 'db e3')
  return state
}

function run(state: ReferenceState, ...codes: string[]): void {
  for (const code of codes) {
    const instruction = decode(Buffer.from(code.replaceAll(' ', ''), 'hex'),
      { long: true, defaultSize32: true })
    assert.ok(typeof instruction !== 'string', `${code} is an instruction`)
    runInstruction(state, instruction, (name, at, decoded) => {
      x87Services[name]!(new ReferenceMachine(at, decoded), decoded)
    })
  }
}

function st(state: ReferenceState, i: number): string {
  const index = (state.x87.statusWord >> 11) + i & 7
  if (!(state.x87.tags >> index & 1)) return 'empty'
  const significand = state.x87.significand(index).toString(16).padStart(16, '0')
  return `${state.x87.signExponent(index).toString(16).padStart(4, '0')}:${significand}`
}

const [FLD1, FLDPI, FLDZ] = ['d9 e8', 'd9 eb', 'd9 ee']

test('every x87 row has a meaning', () => {
  for (const { name, service, fields } of x87Instructions) {
    assert.ok(fields.execute ?? x87Services[service!], name)
  }
})

test('loads push, stores pop, and a full stack faults into the indefinite', () => {
  const state = unit()
  run(state, ...Array.from({ length: 8 }, () => FLD1!))
  assert.equal(st(state, 7), '3fff:8000000000000000')
  run(state, FLD1!)
  assert.equal(st(state, 0), 'ffff:c000000000000000')
  assert.equal(state.x87.statusWord & 0x241, 0x241, 'invalid, stack fault, C1: overflow')
})

test('an unmasked stack fault waits for the next waiting instruction', () => {
  const state = unit()
  state.x87.controlWord &= ~1
  run(state, 'd8 c1')
  assert.equal(state.x87.statusWord & 0x80c1, 0x80c1)
  run(state, 'df e0')
  assert.throws(() => run(state, '9b'), (e) => e instanceof ReferenceFault && e.vector === 16)
  run(state, 'db e2', '9b')
})

test('precision control rounds sums, and leaves the exponent range', () => {
  const state = unit()
  state.x87.controlWord = 0x07f
  run(state, FLD1!, FLDPI!, 'd8 c1')
  assert.equal(st(state, 0), '4001:8487ed0000000000')
})

test('the sine of pi is what 66 bits of pi leave over', () => {
  const state = unit()
  run(state, FLDPI!, 'd9 fe')
  assert.equal(st(state, 0), 'bfbf:8000000000000000')
})

test('functions are correctly rounded', () => {
  const state = unit()
  run(state, FLD1!, 'd9 f2', 'dd d8')
  assert.equal(st(state, 0), '3fff:c75922e5f71d2dc5', 'tan 1')
  run(state, 'db e3', FLD1!, FLD1!, 'd9 f3')
  assert.equal(st(state, 0), '3ffe:c90fdaa22168c235', 'pi / 4')
  run(state, 'db e3', FLD1!, FLDPI!, 'd9 f1')
  assert.equal(st(state, 0), '3fff:d36439a4c6efbad9', 'log2 pi')
})

test('FPREM of a far larger dividend is partial and leaves C2', () => {
  const state = unit()
  run(state, FLDPI!, FLD1!)
  const top = state.x87.statusWord >> 11 & 7
  state.x87.setRegister(top, 0x3fff + 100, 1n << 63n)
  run(state, 'd9 f8')
  assert.equal(state.x87.statusWord & 0x400, 0x400)
  while (state.x87.statusWord & 0x400) run(state, 'd9 f8')
  assert.equal(st(state, 0).slice(0, 2), '3f')
})

test('decimals come back as they went', () => {
  const state = unit()
  const page = state.memory as Page
  state.gpr[0] = 0n
  page.store(0n, 8, 0x9876543210123456n)
  page.store(8n, 2, 0x8078n)
  run(state, 'df 20', 'df 70 10')
  assert.equal(page.load(16n, 8), 0x9876543210123456n)
  assert.equal(page.load(24n, 2), 0x8078n)
  assert.equal(st(state, 0), 'empty')
})

test('FNSAVE and FRSTOR, FXSAVE and FXRSTOR keep everything', () => {
  for (const [save, restore] of [['dd 30', 'dd 20'], ['0f ae 00', '0f ae 08']]) {
    const state = unit()
    run(state, FLDPI!, FLDZ!, 'd9 c9', save!)
    if (save === '0f ae 00') run(state, 'db e3')
    assert.equal(st(state, 0), 'empty')
    run(state, restore!)
    assert.equal(st(state, 0), '4000:c90fdaa22168c235')
    assert.equal(st(state, 1), '0000:0000000000000000')
    assert.equal(st(state, 2), 'empty')
  }
})

/** An image with these words is loaded by one instruction, and saved by the other: what is then in
 * the words of controls and pointers. */
function throughImage(words: readonly bigint[], restore: string, save: string): string[] {
  const state = unit()
  const page = state.memory as Page
  state.gpr[0] = 0n
  words.forEach((word, i) => page.store(BigInt(i * 8), 8, word))
  page.store(24n, 8, 0x1f80n)
  run(state, restore, save)
  return [0n, 8n, 16n].map((at) => page.load(at, 8).toString(16))
}

test('FXRSTOR computes the exception summary; pointers are saved while an exception waits', () => {
  const [load32, load64] = ['0f ae 08', '48 0f ae 08']
  const [save32, save64] = ['0f ae 00', '48 0f ae 00']
  const pointers = [0x1234f6789abcdef0n, 0x1122b34455667788n]
  const waiting = [0xffff_00aa_0001_0340n, ...pointers]
  const words = '7ff00aa80810340'
  assert.deepEqual(throughImage(waiting, load64, save64),
    [words, 'fffff6789abcdef0', 'ffffb34455667788'])
  assert.deepEqual(throughImage(waiting, load64, save32), [words, '9abcdef0', '55667788'])
  assert.deepEqual(throughImage(waiting, load32, save64), [words, '9abcdef0', '55667788'])
  assert.deepEqual(throughImage(waiting, load32, save32),
    [words, 'f6789abcdef0', 'b34455667788'])
  const none = [0xffff_00aa_8080_ffffn, ...pointers]
  assert.deepEqual(throughImage(none, load64, save64), ['aa00001f7f', '0', '0'])
})

test('CR0.TS keeps the unit away, and WAIT only with CR0.MP', () => {
  const state = unit()
  state.cr0 |= 8
  const isUnavailable = (e: unknown) => e instanceof ReferenceFault && e.vector === 7
  assert.throws(() => run(state, FLD1!), isUnavailable)
  assert.throws(() => run(state, '9b'), isUnavailable)
  state.cr0 &= ~2
  run(state, '9b')
})
