/**
 * The traces of frames: a frame with more than code has makes room by letting all go.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Trace, Traces } from './traces.ts'

const PAGE = 4096

function traceAt(machine: number): Trace {
  return { machine, mode: 1, first: 0, records: 1, crosses: false, end: machine % PAGE + 1 }
}

test('a frame has so many traces at most, whatever lies there', () => {
  const traces = new Traces(new ArrayBuffer(PAGE))
  const other = traceAt(7 * PAGE)
  traces.add(other.machine, other)
  const added: Trace[] = []
  const gone: Trace[] = []
  for (let offset = 0; offset < PAGE; offset++) {
    const trace = traceAt(3 * PAGE + offset)
    added.push(trace)
    gone.push(...traces.add(trace.machine, trace))
    assert.ok(traces.at(3 * PAGE)!.length <= 256)
  }
  assert.deepEqual([...gone, ...traces.at(3 * PAGE)!], added)
  assert.deepEqual(traces.at(7 * PAGE), [other])
})
