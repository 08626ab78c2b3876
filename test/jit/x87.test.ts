/**
 * Random x87 code on the interpreter and on compiled code: numbers of all kinds, stacks that are
 * too full or empty, paths that meet with stacks of different depth, and control words that ask for
 * other precision, rounding, or exceptions.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '../isa/decoder/byte-strings.ts'
import { Code, R14, RAX, RCX, RSP } from './encoder.ts'
import { CODE_AT, DATA_AT, type Start, STACK_TOP, TestMachine } from './machine.ts'

const programs = Number(process.env['JIT_PROGRAMS'] ?? 60)
const seed = Number(process.env['JIT_SEED'] ?? 1)
const ROUNDS = 5
const MOST_INSTRUCTIONS = 3000
/** Programs that run on the same machine. */
const RENEWED = 8
/** Where numbers lie, control words, and what is stored. */
const NUMBERS = 0
const WORDS = 512
const RESULTS = 640
const CONTROL_WORDS = [0x37f, 0x37f, 0x27f, 0x7f, 0xb7f, 0x77f, 0xf7f, 0x37b, 0x35f] as const
const SINGLES = [0x3f80_0000, 0xc048_f5c3, 0, 0x7f80_0000, 0x7fa0_0001, 1] as const

class Program {
  readonly #random: Random
  readonly #code = new Code(CODE_AT)
  /** How many registers hold something, on the straight way. */
  #held = 0
  #labels = 0
  /** Branches to labels that come after so many operations. */
  readonly #open = new Map<string, number>()

  constructor(random: Random) {
    this.#random = random
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)]!
  }

  write(): Uint8Array {
    const code = this.#code
    const count = 8 + this.#random.below(30)
    code.constant(RCX, ROUNDS)
    for (let pushed = this.#random.below(4); pushed > 0; pushed--) this.#push()
    code.label('again')
    const before = this.#held
    for (let number = 0; number < count; number++) {
      this.#operation()
      if (this.#random.below(8) === 0) this.#branch(number + 1 + this.#random.below(6))
      for (const [label, end] of this.#open) {
        if (end > number && number < count - 1) continue
        code.label(label)
        this.#open.delete(label)
      }
    }
    // Most loops leave the stack as they found it.
    if (this.#random.below(4) > 0) {
      while (this.#held > before) this.#pop()
      while (this.#held < before) this.#push()
    }
    code.op([0xff], 1, RCX)
    code.to('again', 4, 0x0f, 0x85)
    code.raw(0xcc)
    return code.finish()
  }

  #branch(end: number): void {
    const label = `ahead ${this.#labels++}`
    this.#open.set(label, end)
    this.#onStack(0xdb, 0xf0) // fcomi
    this.#code.to(label, 4, 0x0f, this.#pick([0x82, 0x83, 0x84, 0x87, 0x8a]))
  }

  #memory(opcode: number, digit: number, displacement: number): void {
    this.#code.op([opcode], digit, { base: R14, displacement })
  }

  #onStack(opcode: number, second: number): void {
    this.#code.raw(opcode, second + this.#random.below(this.#random.below(4) ? 3 : 8))
  }

  #push(): void {
    const at = NUMBERS + this.#random.below(16) * 32
    switch (this.#random.below(9)) {
      case 0: this.#memory(0xdd, 0, at); break // fld m64
      case 1: this.#memory(0xd9, 0, at + 8); break // fld m32
      case 2: this.#memory(0xdb, 5, at + 16); break // fld m80
      case 3: this.#memory(0xdf, 0, at + 12); break // fild m16
      case 4: this.#memory(0xdb, 0, at + 12); break // fild m32
      case 5: this.#memory(0xdf, 5, at + 24); break // fild m64
      case 6: this.#code.raw(0xd9, 0xe8 + this.#random.below(7)); break // fld1, fldpi...
      default: this.#onStack(0xd9, 0xc0) // fld st(i)
    }
    this.#held += 1
  }

  #pop(): void {
    const at = RESULTS + this.#random.below(8) * 16
    switch (this.#random.below(7)) {
      case 0: this.#memory(0xdd, 3, at); break // fstp m64
      case 1: this.#memory(0xd9, 3, at); break // fstp m32
      case 2: this.#memory(0xdb, 7, at); break // fstp m80
      case 3: this.#memory(0xdb, this.#pick([1, 3]), at); break // fisttp, fistp m32
      case 4: this.#memory(0xdf, this.#pick([1, 3, 7]), at); break // the same of m16, m64
      case 5: this.#onStack(0xdd, 0xd8); break // fstp st(i)
      default: this.#onStack(0xde, this.#pick([0xc0, 0xc8, 0xe0, 0xe8, 0xf0, 0xf8])) // faddp...
    }
    this.#held -= 1
  }

  #operation(): void {
    const wants = this.#random.below(8)
    if (wants < 2 && this.#held < 7 || this.#held < 2) return this.#push()
    if (wants < 4 && this.#held > 2 || this.#held > 6) return this.#pop()
    const at = NUMBERS + this.#random.below(16) * 32
    const digit = this.#random.below(8)
    switch (this.#random.below(16)) {
      case 15: // fsqrt, frndint, fscale, fprem, fprem1, fxam
        this.#code.raw(0xd9, this.#pick([0xfa, 0xfc, 0xfd, 0xf8, 0xf5, 0xe5]))
        break
      case 0: this.#memory(0xdc, digit, at); this.#noteCompared(digit); break
      case 1: this.#memory(0xd8, digit, at + 8); this.#noteCompared(digit); break
      case 2: this.#memory(0xda, digit, at + 12); this.#noteCompared(digit); break // fiadd...
      case 3: // fcmov, fucomi
        this.#onStack(0xdb, this.#pick([0xc0, 0xc8, 0xd0, 0xd8, 0xe8]))
        break
      case 4: this.#onStack(0xd9, 0xc8); break // fxch
      case 5: this.#code.raw(0xd9, this.#pick([0xe0, 0xe1, 0xe4])); break // fchs, fabs, ftst
      case 6: case 14: this.#word(); break
      case 7: this.#rare(); break
      case 8: this.#memory(this.#pick([0xdd, 0xd9]), 2, RESULTS + 128); break // fst
      default: // fadd and its like
        this.#onStack(this.#pick([0xd8, 0xdc]), this.#pick([0xc0, 0xc8, 0xe0, 0xe8, 0xf0, 0xf8]))
    }
  }

  /** FCOMP and FICOMP pop. */
  #noteCompared(digit: number): void {
    if (digit === 3) this.#held -= 1
  }

  #word(): void {
    const result = RESULTS + 160 + this.#random.below(8) * 2
    switch (this.#random.below(5)) {
      case 0: // fnstsw ax
        this.#code.raw(0xdf, 0xe0)
        this.#code.op([0x89], RAX, { base: R14, displacement: result }, { width: 16 })
        return
      case 1: this.#memory(0xd9, 7, result); return // fnstcw
      default: this.#memory(0xd9, 5, WORDS + this.#random.below(16) * 2) // fldcw
    }
  }

  #rare(): void {
    switch (this.#random.below(12)) {
      case 0: this.#onStack(0xdd, 0xc0); return // ffree
      case 1: this.#code.raw(0xd9, this.#pick([0xf6, 0xf7])); return // fdecstp, fincstp
      case 2: this.#code.raw(0xd9, this.#pick([0xf4, 0xf0])); return // fxtract, f2xm1
      case 3: this.#code.raw(0x0f, 0x6e, 0xc0, 0x0f, 0x77); return // movd mm0, eax; emms
      case 4: this.#code.raw(0xdb, 0xe2); return // fnclex
      case 5: // mov rbx, rcx; syscall; mov rcx, rbx
        this.#code.raw(0x48, 0x89, 0xcb, 0x0f, 0x05, 0x48, 0x89, 0xd9)
        return
      default: this.#code.raw(0xde, 0xd9) // fcompp
        this.#held -= 2
    }
  }
}

function dataOf(random: Random): Uint8Array {
  const data = new Uint8Array(1024)
  const view = new DataView(data.buffer)
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!
  const bits = (): bigint => BigInt(random.next()) << 32n | BigInt(random.next())
  const isOdd = random.below(3) === 0
  for (let at = NUMBERS; at < WORDS; at += 32) {
    const near = 0x3f8n + (bits() & 15n) << 52n
    view.setBigUint64(at, bits() & (1n << 63n | 0xf_ffff_ffff_ff00n) | near, true)
    view.setUint32(at + 8, isOdd ? pick(SINGLES) : pick(SINGLES.slice(0, 2)), true)
    view.setInt32(at + 12, random.below(2000) - 1000, true)
    view.setBigUint64(at + 16, bits() | 1n << 63n, true)
    const kind = isOdd ? random.below(8) : 7
    const exponent = kind === 0 ? pick([0, 1, 0x7ffe, 0x7fff]) : 0x3fff - 40 + random.below(80)
    view.setUint16(at + 24, random.next() & 0x8000 | exponent, true)
  }
  const words = random.below(2) === 0 ? CONTROL_WORDS.slice(0, 3) : CONTROL_WORDS
  for (let at = WORDS; at < RESULTS; at += 2) view.setUint16(at, pick(words), true)
  return data
}

function startOf(random: Random): Start {
  const registers = new Array<bigint>(16).fill(0n)
  registers[RSP] = BigInt(STACK_TOP)
  registers[R14] = BigInt(DATA_AT)
  return {
    code: new Program(random).write(), spare: new Uint8Array(0), entry: CODE_AT,
    data: dataOf(random), registers, vectors: [], flags: 0, cpl: 0,
  }
}

test('the x87 unit is the same in compiled code as in the interpreter', () => {
  const interpreter = new TestMachine(0)
  let compiled = new TestMachine(1)
  for (let number = seed; number < seed + programs; number++) {
    // Code that changed many times is hardly compiled any more.
    if (number % RENEWED === 0) compiled = new TestMachine(1)
    const random = new Random(number)
    const program = startOf(random)
    const top = random.below(8)
    const ends = [interpreter, compiled].map((machine) => {
      machine.load(program)
      const { context } = machine.cpu
      context.x87Status = top << 11
      context.x87Tags = 0
      return machine.run(MOST_INSTRUCTIONS, true)
    })
    assert.equal(ends[0], ends[1], `JIT_SEED=${number}`)
    assert.deepEqual(interpreter.differences(compiled, true), [], `JIT_SEED=${number}`)
  }
})
