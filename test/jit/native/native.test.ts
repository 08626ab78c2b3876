/**
 * Random programs as compiled code and on the host CPU, by the state in which they end: a second
 * opinion of what the interpreter and compiled code have in common.
 *
 * NATIVE_PROGRAMS is their number, JIT_SEED the first one.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { TestMachine } from '../machine.ts'
import { makeProgram, type Program } from '../program.ts'
import { shrink } from '../shrink.ts'
import { endingDifferences, endingOfMachine, NativeEngine } from './native-engine.ts'

const count = Number(process.env['NATIVE_PROGRAMS'] ?? 80)
const seed = Number(process.env['JIT_SEED'] ?? 1)
const MOST_INSTRUCTIONS = 200_000
/** Programs that run on the same machine, and at once on the host. */
const TOGETHER = 8

const nativeProgram = (seed: number, without?: ReadonlySet<number>): Program =>
  makeProgram(seed, without, true)

/** How some programs end otherwise than on the host, by their places. */
function failures(host: NativeEngine, programs: readonly Program[]): Map<number, string> {
  const machine = new TestMachine(1)
  const found = new Map<number, string>()
  const ours = programs.map((program) => {
    machine.load(program)
    return machine.run(MOST_INSTRUCTIONS) === 'halt' ? endingOfMachine(machine) : undefined
  })
  const theirs = host.run(programs.filter((_, i) => ours[i]))
  ours.forEach((ending, i) => {
    const right = ending && theirs.shift()
    const differences = right ? endingDifferences(right, ending) : []
    if (!ending) found.set(i, 'it does not end')
    if (differences.length) found.set(i, differences.slice(0, 10).join(', '))
  })
  return found
}

test('compiled code ends in the state in which the host CPU does', (t) => {
  using host = NativeEngine.make()
  if (!host) {
    t.skip('no host CPU')
    return
  }
  for (let first = seed; first < seed + count; first += TOGETHER) {
    const programs = Array.from({ length: Math.min(TOGETHER, seed + count - first) },
      (_, i) => nativeProgram(first + i))
    for (const [i, report] of failures(host, programs)) {
      const failing = (without: ReadonlySet<number>): string | undefined =>
        failures(host, [nativeProgram(first + i, without)]).get(0)
      const { report: small } = shrink(first + i, report, failing, true)
      assert.fail(`JIT_SEED=${first + i} NATIVE_PROGRAMS=1: ${small}`)
    }
  }
})
