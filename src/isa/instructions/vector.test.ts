/**
 * Vector instructions through the reference reading, on published examples. (All rows are compared
 * with the host CPU by test/isa/host.)
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runInstruction } from '../backends/reference-run.ts'
import {
  ReferenceFault, ReferenceState, type ReferenceMemory,
} from '../backends/reference-state.ts'
import { makeDecoder } from '../decode/decoder.ts'
import { allInstructions } from './all.ts'

const decode = makeDecoder(allInstructions)

/** Memory of zeros without end. */
const zeros: ReferenceMemory = { load: () => 0n, store() {}, probeWrite() {} }

function run(state: ReferenceState, code: string): void {
  const instruction = decode(Buffer.from(code.replaceAll(' ', ''), 'hex'),
    { long: true, defaultSize32: true })
  assert.ok(typeof instruction !== 'string', `${code} is an instruction`)
  runInstruction(state, instruction, () => assert.fail('no service is needed'))
}

/** Runs `code` on xmm0, xmm1, ... and returns xmm0. */
function onXmm(code: string, ...registers: bigint[]): bigint {
  const state = new ReferenceState(zeros)
  registers.forEach((value, index) => { state.xmm[index] = value })
  run(state, code)
  return state.xmm[0]!
}

/** Bytes as they lie in memory. */
function bytes(hex: string): bigint {
  return BigInt(`0x${Buffer.from(hex.replaceAll(' ', ''), 'hex').reverse().toString('hex')}`)
}

test('AESENC does the first round of FIPS 197, appendix B', () => {
  const state = bytes('193de3bea0f4e22b9ac68d2ae9f84808')
  const key = bytes('a0fafe1788542cb123a339392a6c7605')
  assert.equal(onXmm('66 0f 38 dc c1', state, key), bytes('a49c7ff2689f352b6b5bea43026a5049'))
})

test('AESDEC undoes AESENC with the key through AESIMC', () => {
  const state = bytes('00112233445566778899aabbccddeeff')
  const encrypted = onXmm('66 0f 38 dd c1', state, 0n)
  assert.equal(onXmm('66 0f 38 df c1', encrypted, 0n), state)
  const column = bytes('db135345f20a225c01010101c6c6c6c6')
  const mixed = bytes('8e4da1bc9fdc589d01010101c6c6c6c6')
  assert.equal(onXmm('66 0f 38 db c1', 0n, mixed), column)
})

test('AESKEYGENASSIST gives the words of FIPS 197, appendix A.1', () => {
  const key = bytes('2b7e151628aed2a6abf7158809cf4f3c')
  const words = onXmm('66 0f 3a df c1 01', 0n, key)
  assert.equal(words >> 96n, bytes('8b84eb01'))
})

test('PCLMULQDQ multiplies without carries', () => {
  const a = 0x7b5b54657374566563746f725d53475dn
  const b = 0x48692853686179295b477565726f6e5dn
  assert.equal(onXmm('66 0f 3a 44 c1 00', a, b), 0x1d4d84c85c3440c0929633d5d36f0451n)
  assert.equal(onXmm('66 0f 3a 44 c1 11', a, b), 0x1d1e1f2c592e7c45d66ee03e410fd4edn)
})

test('PCMPISTRI finds the first of a set, and says that the string ends', () => {
  const state = new ReferenceState(zeros)
  state.xmm[0] = bytes(Buffer.from('xyz').toString('hex'))
  state.xmm[1] = bytes(Buffer.from('a lazy dog').toString('hex'))
  run(state, '66 0f 3a 63 c1 00')
  assert.equal(state.gpr[1], 4n)
  assert.equal(state.flags & 0x41, 0x41)
})

test('PCMPISTRI without a match counts all elements and clears CF', () => {
  const state = new ReferenceState(zeros)
  state.xmm[0] = bytes(Buffer.from('q').toString('hex'))
  state.xmm[1] = bytes(Buffer.from('0123456789abcdef').toString('hex'))
  run(state, '66 0f 3a 63 c1 00')
  assert.equal(state.gpr[1], 16n)
  assert.equal(state.flags & 0x41, 0)
})

test('PSHUFD, PALIGNR, PSLLDQ and PSRLDQ take any immediate', () => {
  const a = 0x33333333222222221111111100000000n
  assert.equal(onXmm('66 0f 70 c0 1b', a), 0x00000000111111112222222233333333n)
  assert.equal(onXmm('66 0f 70 c0 ff', a), 0x33333333333333333333333333333333n)
  const ones = (1n << 128n) - 1n
  for (const [count, left] of [[0, 128n], [5, 88n], [16, 0n], [250, 0n]] as const) {
    const immediate = count.toString(16).padStart(2, '0')
    assert.equal(onXmm(`66 0f 73 d8 ${immediate}`, ones), (1n << left) - 1n)
    assert.equal(onXmm(`66 0f 73 f8 ${immediate}`, ones), ones ^ (1n << 128n - left) - 1n)
  }
  assert.equal(onXmm('66 0f 3a 0f c1 11', 0x0f0e0d0c0b0a09080706050403020100n, 0n),
    0x000f0e0d0c0b0a090807060504030201n)
})

test('operands of 128 bits in memory must be aligned, but for MOVUPS and its like', () => {
  const state = new ReferenceState(zeros)
  state.gpr[0] = 0x1008n
  assert.throws(() => run(state, '66 0f fe 00'), (e) => e instanceof ReferenceFault
    && e.vector === 13)
  run(state, 'f3 0f 6f 00')
})

test('an unmasked exception leaves the destination, and is in MXCSR', () => {
  const state = new ReferenceState(zeros)
  state.mxcsr = 0x1f80 & ~0x200
  state.xmm[0] = 0x3ff0000000000000n
  assert.throws(() => run(state, 'f2 0f 5e c1'), (e) => e instanceof ReferenceFault
    && e.vector === 19)
  assert.equal(state.xmm[0], 0x3ff0000000000000n)
  assert.equal(state.mxcsr & 0x3f, 4)
})
