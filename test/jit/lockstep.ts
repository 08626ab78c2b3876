/**
 * Random programs on the interpreter and on compiled code: to the end at once, and in slices with
 * interrupts, after each of which the interpreter must pass through the very same state.
 */
import { makeProgram, type Program } from './program.ts'
import { TestMachine } from './machine.ts'
import { Random } from '../isa/decoder/byte-strings.ts'

const MOST_INSTRUCTIONS = 200_000
/** An exception is a step of its own to one who steps, and no instruction in a budget; so is an
 * interrupt that software asks for. */
const SLACK = 64
/** Programs that run on the same machines. */
const RENEWED = 8

export interface Failure {
  readonly seed: number
  /** Units that do not matter. */
  readonly without: ReadonlySet<number>
  readonly report: string
}

export class Lockstep {
  readonly #interpreter = new TestMachine(0)
  #atOnce = new TestMachine(1)
  #warm = new TestMachine(3)
  /** How many instructions the programs had, in slices. */
  instructions = 0

  /** Runs the programs of some seeds; the first failure, made as small as it goes. */
  run(first: number, count: number): Failure | undefined {
    for (let seed = first; seed < first + count; seed++) {
      // A core that has seen code change many times hardly compiles it any more.
      if (seed % RENEWED === 0) this.#renew()
      if (this.check(makeProgram(seed))) return this.#shrink(seed)
    }
    return undefined
  }

  #renew(): void {
    this.#atOnce = new TestMachine(1)
    this.#warm = new TestMachine(3)
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
    return reportOf('at the end', this.#interpreter, compiled)
  }

  #sliced(program: Program, compiled: TestMachine): string | undefined {
    const random = new Random(program.seed + 1)
    const longest = 1 << 1 + random.below(8)
    this.#interpreter.load(program)
    compiled.load(program)
    for (let total = 0; total < MOST_INSTRUCTIONS;) {
      const budget = 1 + random.below(longest)
      const exit = compiled.run(budget)
      const count = budget - compiled.cpu.control.budget
      total += count
      this.instructions += count
      const failure = this.#follow(compiled, exit, count)
      if (failure) return `after about ${total} instructions: ${failure}`
      if (exit !== 'budget') return undefined
      if (random.below(4) === 0) {
        this.#interpreter.interrupt()
        compiled.interrupt()
      }
    }
    return 'it does not end in slices'
  }

  /** Steps the interpreter to where compiled code is. */
  #follow(compiled: TestMachine, exit: string, count: number): string | undefined {
    const interpreter = this.#interpreter
    const [mine, its] = [interpreter.cpu.context, compiled.cpu.context]
    let nearest = 'the interpreter does not come there'
    let fewest = Infinity
    // Repetitions of string instructions count or do not, as many are done at once.
    let repeats = 0
    for (let steps = 0; steps <= 2 * count + repeats + SLACK; steps++) {
      if (steps > 0) {
        const { rip } = mine
        const stopped = interpreter.cpu.step()
        if (mine.rip === rip && !stopped) repeats += 1
        if (stopped && stopped !== exit) return `${nearest}; the interpreter's exit is ${stopped}`
        if (!stopped && exit !== 'budget') continue
      } else if (exit !== 'budget') {
        continue
      }
      if (mine.rip !== its.rip || steps < count >> 1) continue
      const differences = interpreter.differences(compiled, exit !== 'budget')
      if (differences.length === 0) return undefined
      if (differences.length < fewest) {
        fewest = differences.length
        nearest = `interpreter and compiled code differ in ${differences.join(', ')}`
      }
      if (exit !== 'budget') return nearest
    }
    return `${nearest} (rip ${its.rip.toString(16)}, exit ${exit})`
  }

  #shrink(seed: number): Failure {
    const without = new Set<number>()
    let report = this.#fresh(makeProgram(seed)) ?? 'it does not fail alone'
    let units = makeProgram(seed).units
    for (let again = true; again;) {
      again = false
      for (let size = units >> 1 || 1; size >= 1; size >>= 1) {
        for (let at = 0; at < units; at += size) {
          const more = new Set(without)
          for (let unit = at; unit < Math.min(at + size, units); unit++) more.add(unit)
          if (more.size === without.size) continue
          const found = this.#fresh(makeProgram(seed, more))
          if (!found) continue
          report = found
          for (const unit of more) without.add(unit)
          again = true
        }
      }
      units = makeProgram(seed).units
    }
    return { seed, without, report: `${report}\n${makeProgram(seed, without).text()}` }
  }
}

function reportOf(where: string, a: TestMachine, b: TestMachine): string | undefined {
  const differences = a.differences(b, true)
  if (differences.length === 0) return undefined
  return `${where}, interpreter and compiled code differ in ${differences.join(', ')}`
}
