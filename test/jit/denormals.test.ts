/**
 * Floats at the borders of what is normal, on the interpreter and on compiled code: what a region
 * remembers of its registers must not hide a denormal from MXCSR, which programs reset and store.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '../isa/decoder/byte-strings.ts'
import { Code, R14, RBX, RCX, RDX, RSP } from './encoder.ts'
import { CODE_AT, DATA_AT, type Start, STACK_TOP, TestMachine } from './machine.ts'

const programs = Number(process.env['JIT_PROGRAMS'] ?? 150)
const seed = Number(process.env['JIT_SEED'] ?? 1)
const ROUNDS = 4
const REGISTERS = 6
/** Programs that run on the same machine. */
const RENEWED = 8
/** Settled: everything is masked, and PE is set. */
const SETTLED = 0x1fa0
const NOT_YET_INEXACT = 0x1f80

const DOUBLES = [
  0n, 1n << 63n, 1n, 0xf_ffff_ffff_ffffn, 0x10_0000_0000_0000n, 0x10_0000_0000_0001n,
  0x8010_0000_0000_0000n, 0x3ff0_0000_0000_0000n, 0xbff0_0000_0000_0000n, 0x3fe0_0000_0000_0000n,
  0x1ff0_0000_0000_0000n, 0x2000_0000_0000_0000n, 0x7fef_ffff_ffff_ffffn, 0x7ff0_0000_0000_0000n,
  0x7ff8_0000_0000_1234n, 0x7ff0_0000_0000_5678n, 0x4330_0000_0000_0003n,
  // At the ends of what is moderate, and near them.
  0x21f0_0000_0000_0000n, 0x21ef_ffff_ffff_ffffn, 0x5def_ffff_ffff_ffffn, 0x5df0_0000_0000_0000n,
  0xa200_0000_0000_0001n, 0xdde0_0000_0000_0001n, 0x4009_21fb_5444_2d18n, 0xbfd5_5555_5555_5555n,
] as const
/** Of few bits, so that much is exact; and some with which it is not, or not moderate. */
const EXACT = [
  0n, 1n << 63n, 0x3ff0_0000_0000_0000n, 0xbff0_0000_0000_0000n, 0x3fe0_0000_0000_0000n,
  0x4008_0000_0000_0000n, 0xc004_0000_0000_0000n, 0x4090_0000_0000_0000n, 0x40fe_2410_0000_0000n,
  0xbff8_0000_0000_0000n, 0x3fc0_0000_0000_0000n, 0x4019_0000_0000_0000n, 0x4009_21fb_5444_2d18n,
  0x2d30_0000_0000_0000n,
] as const
const SINGLES = [
  0n, 1n << 31n, 1n, 0x7f_ffffn, 0x80_0000n, 0x80_0001n, 0x3f80_0000n, 0x2000_0000n, 0x7f7f_ffffn,
  0x7f80_0000n, 0x7fc0_1234n, 0x7f80_5678n,
] as const
/** Prefixes of double, single, packed doubles and packed singles. */
const PREFIXES = [0xf2, 0xf3, 0x66, 0] as const
/** ADD, MUL, SUB, DIV, MIN, MAX and SQRT; the first ones more often. */
const OPCODES = [0x58, 0x59, 0x5c, 0x5e, 0x58, 0x59, 0x5d, 0x5f, 0x51] as const
const CMPLT = 1

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random.below(list.length)]!
}

/** Half of a vector. */
function halfOf(random: Random, mxcsr: number): bigint {
  if (mxcsr === NOT_YET_INEXACT) return pick(random, EXACT)
  return random.below(2) === 0 ? pick(random, DOUBLES)
    : pick(random, SINGLES) << 32n | pick(random, SINGLES)
}

function writeOperation(code: Code, random: Random): void {
  const [a, b] = [random.below(REGISTERS), random.below(REGISTERS)]
  const vector = (prefix: number, opcode: number): void => {
    if (prefix !== 0) code.raw(prefix)
    code.raw(0x0f, opcode, 0xc0 | a << 3 | b)
  }
  const slot = random.below(8) * 16
  switch (random.below(12)) {
    case 0: vector(0x66, 0x28); return // movapd
    case 1: vector(pick(random, [0xf2, 0xf3]), 0x10); return // movsd, movss
    case 2: vector(0x66, pick(random, [0x14, 0x15])); return // unpcklpd, unpckhpd
    case 3: // movsd or movss from memory
      code.op([0x0f, 0x10], a, { base: R14, displacement: slot },
        { mandatory: pick(random, [0xf2, 0xf3]) })
      return
    case 4: vector(pick(random, [0x66, 0]), 0x2e); return // ucomisd, ucomiss
    case 5:
      vector(pick(random, PREFIXES), 0xc2) // cmppd and the others
      code.raw(CMPLT)
      return
    case 6: // stmxcsr, ldmxcsr
      code.op([0x0f, 0xae], 3, { base: R14, displacement: 256 + random.below(16) * 4 })
      code.op([0x0f, 0xae], 2, { base: R14, displacement: 512 })
      return
    case 7: vector(0x66, 0x57); return // xorpd
    default: vector(pick(random, PREFIXES), pick(random, OPCODES))
  }
}

/** Operations, some of them left out by a branch or repeated by a loop. */
function writeOperations(code: Code, random: Random): void {
  for (let part = 0; part < 4; part++) {
    const how = random.below(4)
    if (how === 0) code.constant(RDX, 1 + random.below(3))
    if (how === 0) code.label(`loop ${part}`)
    if (how === 1) {
      code.raw(0xf6, 0xc1, 1 + random.below(3)) // test cl, 1 to 3
      code.to(`past ${part}`, 4, 0x0f, 0x84)
    }
    for (let left = 3 + random.below(5); left > 0; left--) writeOperation(code, random)
    if (how === 1) code.label(`past ${part}`)
    if (how !== 0) continue
    code.op([0xff], 1, RDX)
    code.to(`loop ${part}`, 4, 0x0f, 0x85)
  }
}

function programOf(random: Random, mxcsr: number): Start {
  const code = new Code(CODE_AT)
  code.constant(RCX, ROUNDS)
  code.label('again')
  writeOperations(code, random)
  code.op([0x0f, 0xae], 3, { base: R14, displacement: 384 }) // stmxcsr
  code.op([0x03], RBX, { base: R14, displacement: 384 })
  code.op([0xff], 1, RCX)
  code.to('again', 4, 0x0f, 0x85)
  code.raw(0xcc)
  const data = new Uint8Array(1024)
  const view = new DataView(data.buffer)
  for (let at = 0; at < 256; at += 8) view.setBigUint64(at, halfOf(random, mxcsr), true)
  view.setUint32(512, mxcsr, true)
  const registers = new Array<bigint>(16).fill(0n)
  registers[RSP] = BigInt(STACK_TOP)
  registers[R14] = BigInt(DATA_AT)
  return {
    code: code.finish(), spare: new Uint8Array(0), entry: CODE_AT, data, registers,
    vectors: Array.from({ length: REGISTERS * 2 }, () => halfOf(random, mxcsr)), flags: 0, cpl: 0,
  }
}

test('MXCSR tells of denormals in compiled code as it does in the interpreter', () => {
  const interpreter = new TestMachine(0)
  let compiled = new TestMachine(1)
  for (let number = seed; number < seed + programs; number++) {
    // Code that changed many times is hardly compiled any more.
    if (number % RENEWED === 0) compiled = new TestMachine(1)
    const mxcsr = number % 2 === 0 ? SETTLED : NOT_YET_INEXACT
    const program = programOf(new Random(number), mxcsr)
    for (const machine of [interpreter, compiled]) {
      machine.load(program)
      machine.cpu.context.mxcsr = mxcsr
      assert.equal(machine.run(10_000), 'halt')
    }
    assert.deepEqual(interpreter.differences(compiled, true), [], `JIT_SEED=${number}`)
  }
})
