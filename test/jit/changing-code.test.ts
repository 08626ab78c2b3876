/**
 * Random programs that change their code: immediates, whole instructions, the one that comes next,
 * and blocks of it by string instructions, in pages that are executed and in others.
 *
 * What a processor shall do is what one does that forgets all code before each instruction.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../src/base/seeded-random.ts'
import { ALIAS_AT, CODE_AT, CODE_PAGES, DATA_AT, STACK_TOP, TestMachine } from './machine.ts'
import type { Start } from './machine.ts'

const FIRST = Number(process.env['CODE_SEED'] ?? 1)
const PROGRAMS = Number(process.env['CODE_PROGRAMS'] ?? 10)
const PAGE = 4096
/** The programs' functions: some share a line, some cross into the next page. */
const FUNCTION = 40
const OPERATIONS = 6
const FUNCTIONS_AT = 2 * PAGE - 10 * FUNCTION - 10
const FUNCTIONS = 20
const ACTIONS = 30
const REPEATS = 12
const MOST_SLICES = 20_000

class Source {
  readonly code = new Uint8Array(CODE_PAGES * PAGE)
  #at = 0
  readonly #random: (below: number) => number

  constructor(seed: number) {
    const random = new SeededRandom(`${seed}`)
    this.#random = (below) => random.below(below)
    for (let number = 0; number < FUNCTIONS; number++) {
      this.#at = this.#function(number)
      for (let i = 0; i < OPERATIONS; i++) this.put(...this.#operation())
      this.put(0xc3)
    }
    this.#at = 0
    this.put(0xbb, ...word(REPEATS)) // mov ebx, REPEATS
    const again = this.#at
    for (let i = 0; i < ACTIONS; i++) this.#action()
    this.put(0xff, 0xcb, 0x0f, 0x85, ...word(again - this.#at - 8), 0xf4) // dec ebx; jnz; hlt
  }

  put(...bytes: number[]): void {
    this.code.set(bytes, this.#at)
    this.#at += bytes.length
  }

  #function(number: number): number {
    return FUNCTIONS_AT + number * FUNCTION
  }

  #any(): number {
    return this.#function(this.#random(FUNCTIONS))
  }

  /** An instruction of six bytes, or several. */
  #operation(): number[] {
    const number = this.#random(1 << 24)
    switch (this.#random(8)) {
      case 0: return [0x69, 0xc0, ...word(number | 1)] // imul eax, eax, number
      case 1: return [0x81, 0xf0, ...word(number)] // xor eax, number
      case 2: return [0x83, 0xc0, number & 0x7f, 0x83, 0xe8, 1] // add eax, number; sub eax, 1
      case 3: return [0x66, 0x0f, 0x1f, 0x44, 0, 0] // nop
      case 4: return [0xff, 0xc0, 0x90, 0x90, 0xff, 0xc0] // inc eax; nop; nop; inc eax
      default: return [0x81, 0xc0, ...word(number)] // add eax, number
    }
  }

  #store(at: number, bytes: readonly number[]): void {
    const to = word(ALIAS_AT + at)
    if (bytes.length === 1) this.put(0xc6, 0x04, 0x25, ...to, ...bytes)
    else if (bytes.length === 4) this.put(0xc7, 0x04, 0x25, ...to, ...bytes)
    else bytes.forEach((byte, i) => this.#store(at + i, [byte]))
  }

  #call(): void {
    this.put(0xe8, ...word(this.#any() - this.#at - 5))
  }

  #action(): void {
    const operation = this.#any() + 6 * this.#random(OPERATIONS)
    const number = word(this.#random(1 << 24))
    switch (this.#random(12)) {
      case 0: // add eax, number
        this.#store(operation, [0x81, 0xc0])
        this.#store(operation + 2, number)
        break
      case 1: this.#store(operation, this.#operation()); break
      case 2: this.#store(operation, [0xc3]); break
      case 3: // The instruction behind the store.
        this.#store(this.#at + 13, number)
        this.put(0x81, 0xc0, ...word(0))
        break
      case 4: { // mov esi, source; mov edi, target; mov ecx, bytes; rep movsb
        const bytes = FUNCTION * (1 + this.#random(3))
        const last = this.#function(FUNCTIONS - 3)
        this.put(0xbe, ...word(CODE_AT + Math.min(this.#any(), last)))
        this.put(0xbf, ...word(ALIAS_AT + Math.min(this.#any(), last)))
        this.put(0xb9, ...word(bytes), 0xf3, 0xa4)
        break
      }
      case 5: // xchg eax, edx; mov al, 0x90; mov edi, target; mov ecx, bytes; rep stosb; xchg
        this.put(0x92, 0xb0, 0x90, 0xbf, ...word(ALIAS_AT + this.#any()))
        this.put(0xb9, ...word(6 * (1 + this.#random(OPERATIONS))), 0xf3, 0xaa, 0x92)
        break
      case 6: { // The same, with the string instruction itself and what follows as the target.
        const before = this.#random(8)
        const bytes = before + 4 * (1 + this.#random(8))
        this.put(0x92, 0xb0, 0x90, 0xbf, ...word(ALIAS_AT + this.#at + 15 - before))
        this.put(0xb9, ...word(bytes), 0xf3, 0xaa)
        for (let i = 0; i < 8; i++) this.put(0xff, 0xc2, 0x90, 0x90) // inc edx
        this.put(0x92)
        break
      }
      default: this.#call()
    }
  }
}

function word(value: number): number[] {
  return [value & 0xff, value >> 8 & 0xff, value >> 16 & 0xff, value >> 24 & 0xff]
}

function startOf(seed: number): Start {
  const registers = Array.from({ length: 16 }, () => 0n)
  registers[4] = BigInt(STACK_TOP)
  registers[6] = registers[7] = BigInt(DATA_AT)
  return {
    code: new Source(seed).code, spare: new Uint8Array(PAGE), entry: CODE_AT,
    data: new Uint8Array(PAGE), registers, vectors: [], flags: 0, cpl: 0,
  }
}

/** Runs a program to its end, in slices; returns how many there were. */
function runToEnd(machine: TestMachine, slice: () => number): number {
  for (let slices = 1; slices < MOST_SLICES; slices++) {
    const exit = machine.run(slice(), true)
    if (exit === 'halt') return slices
    assert.ok(exit === 'budget' || exit === 'pause', exit)
  }
  return assert.fail('the program does not end')
}

for (const [name, heatLimit] of [['interpreted', 0], ['compiled', 3]] as const) {
  test(`code that was changed is executed as it is, ${name}`, () => {
    let [steps, rewritten] = [0, 0]
    for (let seed = FIRST; seed < FIRST + PROGRAMS; seed++) {
      const [machine, forgetful] = [new TestMachine(heatLimit), new TestMachine(0)]
      for (const one of [machine, forgetful]) one.load(startOf(seed))
      runToEnd(machine, () => 700)
      steps += runToEnd(forgetful, () => {
        forgetful.forgetCode()
        return 1
      })
      assert.deepEqual(machine.differences(forgetful, false), [], `CODE_SEED=${seed}`)
      rewritten += machine.cpu.jitCounts.rewritten
    }
    assert.ok(steps > 300 * PROGRAMS, `${steps} steps`)
    assert.equal(rewritten > 0, heatLimit > 0)
  })
}
