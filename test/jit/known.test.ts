/**
 * Random programs whose regions are known from before: of the same processor, which forgot them,
 * of an earlier one, with the code in other frames, and of another one of the same machine; and
 * programs whose processor gives back what it made of code, again and again.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type CompiledRegions, type CompilerAnswer, type CompileRequest, ImmediateCompiler,
  type LoadedRegions, type LoadRequest, type RegionCompiler, type SharedRegions,
} from '../../src/cpu/jit/compiler.ts'
import type { KeptRegions } from '../../src/cpu/jit/shape.ts'
import { decode } from '../../src/cpu/engine.ts'
import { RAX } from './encoder.ts'
import { TestMachine } from './machine.ts'
import { makeProgram, type Program } from './program.ts'
import { twoRegions } from './start.ts'

const FIRST = Number(process.env['JIT_SEED'] ?? 500)
const PROGRAMS = 12
const SHARED = 4
const SLICES = 2000
/** Between slices a processor looks for what has been compiled. */
const SLICE = 100

/** Keeps what it compiles. */
class KeepingCompiler implements RegionCompiler {
  readonly works = true
  readonly kept: KeptRegions[] = []
  readonly #modules = new Map<string, WebAssembly.Module>()
  readonly #compiler = new ImmediateCompiler(decode)
  readonly #loaded: LoadedRegions[] = []

  request(request: CompileRequest): void {
    const name = String(this.kept.length)
    this.kept.push({ name, shapes: request.regions.map(({ shape }) => shape) })
    this.#compiler.request(request)
  }

  load({ name }: LoadRequest): void {
    const module = this.#modules.get(name)
    this.#loaded.push({ kind: 'loaded', name, bytes: 1, ...module ? { module } : {} })
  }

  take(): CompilerAnswer | undefined {
    const answer = this.#compiler.take() as CompiledRegions | undefined
    if (!answer) return this.#loaded.shift()
    const name = String(this.#modules.size)
    this.#modules.set(name, answer.module)
    return { ...answer, name }
  }

  /** What it compiled, as another core is told. */
  get shared(): SharedRegions[] {
    return this.kept.map(({ name, shapes }) =>
      ({ kind: 'shared', module: this.#modules.get(name)!, shapes, bytes: 1 }))
  }

  /** Has none of the modules any more. */
  lose(): void {
    this.#modules.clear()
  }
}

/** Compiles at once, after what others had compiled. */
class ToldCompiler extends ImmediateCompiler {
  readonly #news: SharedRegions[]

  constructor(news: readonly SharedRegions[]) {
    super(decode)
    this.#news = [...news]
  }

  override take(): CompilerAnswer | undefined {
    return this.#news.shift() ?? super.take()
  }
}

function runToEnd(machine: TestMachine): string {
  for (let slice = 0; slice < SLICES; slice++) {
    const exit = machine.run(SLICE)
    if (exit !== 'budget') return exit
  }
  return 'budget'
}

function same(program: Program, expected: TestMachine, found: TestMachine): void {
  const seed = `JIT_SEED=${program.seed}`
  assert.equal(runToEnd(expected), runToEnd(found), seed)
  assert.deepEqual(found.differences(expected, true), [], seed)
}

/** The program on an interpreter and on a processor that knows what was compiled for another. */
function runLater(
  program: Program, options: { compiler: RegionCompiler, kept?: readonly KeptRegions[] },
): TestMachine {
  const expected = new TestMachine(0)
  const later = new TestMachine(1, options)
  for (const machine of [expected, later]) {
    machine.load(program)
    machine.scatterCode()
  }
  same(program, expected, later)
  return later
}

function runKept(program: Program, compiler: KeepingCompiler): TestMachine {
  return runLater(program, { compiler, kept: [...compiler.kept] })
}

function runFirst(program: Program): { compiler: KeepingCompiler, machine: TestMachine } {
  const compiler = new KeepingCompiler()
  const [interpreter, machine] = [new TestMachine(0), new TestMachine(1, { compiler })]
  for (let time = 0; time < 2; time++) {
    interpreter.load(program)
    machine.load(program)
    same(program, interpreter, machine)
  }
  return { compiler, machine }
}

test('known code is entered wherever it lies, and does the same', () => {
  let [asked, known, askedLater, knownLater] = [0, 0, 0, 0]
  for (let seed = FIRST; seed < FIRST + PROGRAMS; seed++) {
    const program = makeProgram(seed)
    const { compiler, machine } = runFirst(program)
    asked += machine.cpu.jitCounts.asked
    known += machine.cpu.jitCounts.known
    const later = runKept(program, compiler)
    askedLater += later.cpu.jitCounts.asked
    knownLater += later.cpu.jitCounts.known
  }
  assert.ok(known > PROGRAMS, `${known} were known the second time`)
  assert.ok(knownLater > PROGRAMS, `${knownLater} were known to the later processor`)
  assert.ok(askedLater < asked / 2, `${askedLater} of ${asked} were asked for again`)
})

test('what was compiled for another processor is entered at once', () => {
  let [asked, askedLater, knownLater] = [0, 0, 0]
  for (let seed = FIRST; seed < FIRST + SHARED; seed++) {
    const program = makeProgram(seed)
    const { compiler, machine } = runFirst(program)
    asked += machine.cpu.jitCounts.asked
    const later = runLater(program, { compiler: new ToldCompiler(compiler.shared) })
    askedLater += later.cpu.jitCounts.asked
    knownLater += later.cpu.jitCounts.known
  }
  assert.ok(knownLater > SHARED, `${knownLater} were known to the other processor`)
  assert.ok(askedLater < asked / 2, `${askedLater} of ${asked} were asked for again`)
})

test('later a wide region is entered before those that it took the entries of', () => {
  const compiler = new KeepingCompiler()
  const widened = [1, 2].map(() => {
    const machine = new TestMachine(3, { compiler, kept: [...compiler.kept] })
    machine.load(twoRegions)
    assert.equal(runToEnd(machine), 'halt')
    assert.equal(machine.cpu.context.gpr.get(RAX), BigInt(45 * 200 * 201 / 2))
    return machine.cpu.jitCounts.widened
  })
  assert.ok(widened[0]! > 0)
  assert.equal(widened[1], 0)
})

test('what a processor gave back it makes again', () => {
  let [gave, known] = [0, 0]
  const giveBackPages = (buffer: ArrayBuffer, offset: number, bytes: number): boolean => {
    gave += 1
    new Uint8Array(buffer, offset, bytes).fill(0)
    return true
  }
  for (let seed = FIRST; seed < FIRST + SHARED; seed++) {
    const program = makeProgram(seed)
    const compiler = new KeepingCompiler()
    const [expected, found] = [new TestMachine(0), new TestMachine(1, { compiler, giveBackPages })]
    for (let time = 0; time < 2; time++) {
      for (const machine of [expected, found]) machine.load(program)
      assert.equal(found.run(SLICE), expected.run(SLICE))
      for (const what of ['code', 'modules'] as const) found.cpu.giveBack(what)
      same(program, expected, found)
    }
    known += found.cpu.jitCounts.known
  }
  assert.ok(gave > SHARED && known > SHARED, `${known} were known after ${gave} times`)
})

test('what was kept and cannot be had is compiled again', () => {
  let asked = 0
  for (let seed = FIRST; seed < FIRST + PROGRAMS / 2; seed++) {
    const program = makeProgram(seed)
    const { compiler } = runFirst(program)
    compiler.lose()
    asked += runKept(program, compiler).cpu.jitCounts.asked
  }
  assert.ok(asked > 0)
})
