/**
 * The traces of frames, line by line: a line with more than code has makes room by letting all go.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CodeLines } from './code-lines.ts'
import { type Trace, Traces } from './traces.ts'

const PAGE = 4096

function traceAt(machine: number): Trace {
  return { machine, mode: 1, first: 0, records: 1, crosses: false, end: machine % PAGE + 1 }
}

function allLines(): CodeLines {
  const lines = new CodeLines()
  lines.addRange(0, PAGE)
  return lines
}

test('a line has so many traces at most, whatever lies there', () => {
  const traces = new Traces(new ArrayBuffer(PAGE))
  const other = traceAt(7 * PAGE)
  traces.add(7 * PAGE, other)
  const added: Trace[] = []
  const gone: Trace[] = []
  for (let mode = 1; mode < 100; mode++) {
    const trace = { ...traceAt(3 * PAGE + 70), mode, end: 200 }
    added.push(trace)
    gone.push(...traces.add(3 * PAGE, trace))
  }
  assert.ok(gone.length >= 64)
  const left = traces.take(3 * PAGE, allLines())
  assert.ok(left.length <= 64)
  assert.deepEqual(new Set([...gone, ...left]), new Set(added))
  assert.deepEqual(traces.take(7 * PAGE, allLines()), [other])
})

test('who takes a line out takes each trace that has code in it, from all its lines', () => {
  const traces = new Traces(new ArrayBuffer(PAGE))
  const [before, across, behind] = [[0, 64], [60, 140], [128, 160]].map(([from, end]) =>
    ({ ...traceAt(from!), end: end! }))
  for (const trace of [before!, across!, behind!]) traces.add(0, trace)
  const second = new CodeLines()
  second.addRange(64, 64)
  assert.deepEqual(traces.take(0, second), [across])
  const left = traces.linesIn(0)
  assert.deepEqual([left.low, left.high], [0b101, 0])
  assert.deepEqual(traces.take(0, allLines()), [before, behind])
  assert.ok(traces.linesIn(0).isEmpty && traces.knows(0))
})

test('a trace that crosses pages is listed at the end of one and where the other begins', () => {
  const traces = new Traces(new ArrayBuffer(PAGE))
  const trace = { ...traceAt(2 * PAGE - 3), crosses: true, end: PAGE }
  traces.add(PAGE, trace)
  traces.add(5 * PAGE, trace)
  assert.equal(traces.linesIn(PAGE).high >>> 31, 1)
  assert.equal(traces.linesIn(5 * PAGE).low, 1)
  assert.equal(traces.nextAt(PAGE, 1), PAGE - 3)
})
