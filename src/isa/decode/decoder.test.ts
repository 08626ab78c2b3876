/**
 * The decoder against iced-x86 and by example.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, fillSlots } from '../../../test/isa/decoder/byte-strings.ts'
import { type Bitness, Comparison } from '../../../test/isa/decoder/iced.ts'
import { allInstructions } from '../instructions/all.ts'
import { ambiguities, makeDecoder } from './decoder.ts'

const decode = makeDecoder(allInstructions)
const long = { long: true, defaultSize32: true }
const legacy = { long: false, defaultSize32: true }
const real = { long: false, defaultSize32: false }

function decodeHex(text: string, mode = long) {
  return decode(Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex')), mode)
}

/** Name, operand size and length, or what went wrong. */
function summary(text: string, mode = long): string {
  const found = decodeHex(text, mode)
  if (typeof found === 'string') return found
  return `${found.definition.name} ${found.operandSize} ${found.length}`
}

/**
 * Where iced and we differ on purpose, by definition:
 * implicit operands that only one side lists, registers of 16 bits that iced calls wider because
 * the instruction ignores the upper half, and lengths where there is only #UD.
 */
const accepted = [
  /^(aaa|aas|daa|das|lahf|sahf|salc|xlat|fxch|maskmovq|v?maskmovdqu): /,
  /^(nop|prefetch\w*): (\d operands|operand 0 width)/,
  /^(arpl|lar|lsl|lldt|ltr|lmsw|verr|verw|mov-to-segment|smsw|str|sldt): operand . width/,
  /^v?(movmskp[sd]|pmovmskb|pextr[bw]|pinsr[bw]|l[fgs]s|movdir64b|enqcmd|extractps): operand/,
  // The index of a gather is an operand of its own here.
  /^vp?gather\w+: 4 operands/,
  /^(call|jmp)-far: operand 0 width 80/,
  /^(ud0|ud1): length/,
  // MOV CS, x raises #UD when it is carried out.
  /^mov-to-segment: iced invalid/,
  // With 66, too, 32 bits of memory are read.
  /^movsxd: operand 1 width/,
  // PAUSE needs 90 without REX.B; iced does not ask.
  /^xchg: 2 operands, iced pause/,
]

function differences(bitness: Bitness, count: number, seed: number): ReadonlyMap<string, string> {
  const bytes = new Uint8Array(count * 15)
  fillSlots(bytes, new Random(seed), bitness === 64)
  using comparison = new Comparison(decode, bytes, bitness)
  const found = new Map<string, string>()
  for (let slot = 0; slot < count; slot++) {
    const difference = comparison.difference(slot)
    // What we do not have raises #UD: tools/opcodes lists it.
    if (difference === undefined || difference.endsWith('ours invalid')) continue
    if (accepted.some((pattern) => pattern.test(difference))) continue
    const at = bytes.subarray(slot * 15, slot * 15 + 15)
    found.set(difference, Buffer.from(at).toString('hex'))
  }
  return found
}

const CASES = Number(process.env['DECODER_CASES'] ?? 100_000)
for (const bitness of [64, 32, 16] as const) {
  test(`${bitness}-bit code decodes as iced-x86 decodes it for AMD`, () => {
    assert.deepEqual(differences(bitness, CASES, 12345 + bitness), new Map())
  })
}

test('no two rows claim the same bytes', () => {
  assert.deepEqual(ambiguities(allInstructions), [])
})

test('bytes that end too early are truncated, more than 15 are too long', () => {
  assert.equal(summary('48'), 'truncated')
  assert.equal(summary('48 8b 84'), 'truncated')
  assert.equal(summary('0f'), 'truncated')
  assert.equal(summary('66 66 66 66 66 66 66 66 66 66 66 66 66 66 90'), 'nop 16 15')
  assert.equal(summary('66 66 66 66 66 66 66 66 66 66 66 66 66 66 48 90'), 'too-long')
  assert.equal(summary('c5', legacy), 'truncated')
})

test('a REX prefix counts only directly before the opcode', () => {
  assert.equal(summary('48 66 01 d8'), 'add 16 4')
  assert.equal(summary('66 48 01 d8'), 'add 64 4')
})

test('F2 and F3 beat 66, which then is an operand size', () => {
  assert.equal(summary('66 f2 0f 38 f1 c1'), 'crc32 16 6')
  assert.equal(summary('f3 66 0f b8 c1'), 'popcnt 16 5')
  assert.equal(summary('66 0f 38 f0 01'), 'movbe 16 5')
})

test('66 shrinks near branches in 64-bit code', () => {
  assert.equal(summary('66 e9 10 00'), 'jmp 16 4')
  assert.equal(summary('e9 10 00 00 00'), 'jmp 64 5')
})

test('90 is NOP, PAUSE with F3, and XCHG with REX.B', () => {
  assert.equal(summary('90'), 'nop 32 1')
  assert.equal(summary('f3 90'), 'pause 32 2')
  assert.equal(summary('41 90'), 'xchg 32 2')
})

test('LOCK needs a memory destination and an instruction that allows it', () => {
  assert.equal(summary('f0 01 18'), 'add 32 3')
  assert.equal(summary('f0 01 d8'), 'invalid')
  assert.equal(summary('f0 03 18'), 'invalid')
  assert.equal(summary('f0 8b 18'), 'invalid')
})

test('VEX gives a third register, and refuses prefixes and unused fields', () => {
  assert.equal(summary('c4 e2 60 f2 c1'), 'andn 32 5')
  assert.equal(summary('c4 e2 e0 f2 c1'), 'andn 64 5')
  assert.equal(summary('c4 e2 e0 f2 c1', legacy), 'andn 32 5')
  assert.equal(summary('66 c4 e2 60 f2 c1'), 'invalid')
  assert.equal(summary('c4 e2 64 f2 c1'), 'invalid')
  assert.equal(summary('c4 e3 73 f0 c1 05'), 'invalid')
  assert.equal(summary('c4 e3 7b f0 c1 05'), 'rorx 32 6')
})

test('addresses based on rBP and rSP use SS, and overrides count as the mode has it', () => {
  const segmentOf = (text: string, mode = long) => {
    const found = decodeHex(text, mode)
    assert(typeof found !== 'string')
    const operand = found.operands[1]!
    assert(operand.kind === 'memory')
    return operand.segment
  }
  assert.equal(segmentOf('8b 45 00'), 2)
  assert.equal(segmentOf('8b 04 24'), 2)
  assert.equal(segmentOf('8b 00'), 3)
  assert.equal(segmentOf('26 8b 00'), 3)
  assert.equal(segmentOf('65 8b 00'), 5)
  assert.equal(segmentOf('26 8b 00', legacy), 0)
  assert.equal(segmentOf('8b 46 00', real), 2)
  assert.equal(segmentOf('8b 06 00 00', real), 3)
})

test('decoding may begin anywhere in the bytes, and sees those from there on only', () => {
  const bytes = Uint8Array.of(0x66, 0x66, 0x01, 0xd8, 0x48)
  const found = decode(bytes, long, 2)
  assert.ok(typeof found !== 'string')
  assert.deepEqual([found.operandSize, found.length], [32, 2])
  assert.equal(decode(bytes, long, 4), 'truncated')
})

test('POP to memory based on rSP counts from the popped pointer', () => {
  const found = decodeHex('8f 44 24 10')
  assert(typeof found !== 'string' && found.operands[0]!.kind === 'memory')
  assert.equal(found.operands[0].displacement, 0x18n)
})
