/**
 * Random programs on the interpreter and on compiled code: to the end at once, and in slices with
 * interrupts, after each of which the interpreter must be in the very same state when it has
 * executed as many instructions.
 */
import type { Without } from '../../src/cpu/jit/features.ts'
import { makeProgram, type Program } from './program.ts'
import { TestMachine } from './machine.ts'
import { type Failure, shrink } from './shrink.ts'
import { Random } from '../isa/decoder/byte-strings.ts'

const MOST_INSTRUCTIONS = 200_000
/** Programs that run on the same machines. */
const RENEWED = 8

export class Lockstep {
  readonly #interpreter = new TestMachine(0)
  readonly #without: Without
  #atOnce: TestMachine
  #warm: TestMachine
  /** How many instructions the programs had, in slices; and regions that became wide ones. */
  instructions = 0
  widened = 0

  /** Compiling leaves some features out. */
  constructor(without: Without = []) {
    this.#without = without
    this.#atOnce = this.#compiling(1)
    this.#warm = this.#compiling(3)
  }

  #compiling(heatLimit: number): TestMachine {
    return new TestMachine(heatLimit, { without: this.#without })
  }

  /** Runs the programs of some seeds; the first failure, made as small as it goes. */
  run(first: number, count: number): Failure | undefined {
    for (let seed = first; seed < first + count; seed++) {
      // A core that has seen code change many times hardly compiles it any more.
      if (seed % RENEWED === 0) this.#renew()
      const report = this.check(makeProgram(seed))
      if (report) return this.#shrink(seed, report)
    }
    return undefined
  }

  #renew(): void {
    for (const { cpu } of [this.#atOnce, this.#warm]) this.widened += cpu.jitCounts.widened
    this.#atOnce = this.#compiling(1)
    this.#warm = this.#compiling(3)
  }

  /** What went wrong with a program, if something did. */
  check(program: Program): string | undefined {
    const [whole, sliced] = program.seed % 2 === 0 ? [this.#atOnce, this.#warm]
      : [this.#warm, this.#atOnce]
    try {
      return this.#whole(program, whole) ?? this.#sliced(program, sliced)
    } catch (error) {
      return String(error)
    }
  }

  #fresh(program: Program): string | undefined {
    this.#renew()
    return this.check(program)
  }

  #whole(program: Program, compiled: TestMachine): string | undefined {
    this.#interpreter.load(program)
    compiled.load(program)
    const expected = this.#interpreter.run(MOST_INSTRUCTIONS)
    const found = compiled.run(MOST_INSTRUCTIONS)
    if (expected !== found) return `the interpreter's exit is ${expected}, compiled code's ${found}`
    if (expected === 'budget') return 'it does not end'
    return reportOf('at the end', this.#interpreter, compiled, true)
  }

  #sliced(program: Program, compiled: TestMachine): string | undefined {
    const random = new Random(program.seed + 1)
    const longest = 1 << 1 + random.below(12)
    this.#interpreter.load(program)
    compiled.load(program)
    for (let total = 0; total < MOST_INSTRUCTIONS;) {
      const budget = 1 + random.below(longest)
      const exactly = random.below(2) === 0
      const before = compiled.cpu.executed
      let exit = compiled.run(budget, exactly)
      // It may stop between rounds of a repeated instruction, which do not count.
      if (!exactly && exit === 'budget') exit = compiled.run(1 + random.below(8), true)
      const count = compiled.cpu.executed - before
      total += count
      this.instructions += count
      if (exactly && exit === 'budget' && count !== budget) return `${count} are not ${budget}`
      const failure = this.#follow(compiled, exit, count, exactly)
      if (failure) return `after ${total} instructions: ${failure}`
      if (exit !== 'budget') return undefined
      if (random.below(4) === 0) {
        this.#interpreter.interrupt()
        compiled.interrupt()
      }
    }
    return 'it does not end in slices'
  }

  /** Has the interpreter execute as many instructions as compiled code did; who did not stop
   * exactly may have looked at the page of the next instruction already. */
  #follow(
    compiled: TestMachine, exit: string, count: number, exactly: boolean,
  ): string | undefined {
    const { cpu } = this.#interpreter
    const before = cpu.executed
    const found = this.#interpreter.run(count, true)
    const executed = cpu.executed - before
    if (found !== exit || executed !== count) {
      return `${exit} after ${count} when compiled, ${found} after ${executed} when interpreted`
    }
    return reportOf('here', this.#interpreter, compiled, exactly)
  }

  #shrink(seed: number, found: string): Failure {
    const report = this.#fresh(makeProgram(seed)) ?? `it does not fail alone: ${found}`
    return shrink(seed, report, (without) => this.#fresh(makeProgram(seed, without)))
  }
}

function reportOf(
  where: string, a: TestMachine, b: TestMachine, wholly: boolean,
): string | undefined {
  const differences = a.differences(b, wholly)
  if (differences.length === 0) return undefined
  return `${where}, interpreter and compiled code differ in ${differences.join(', ')}`
}
