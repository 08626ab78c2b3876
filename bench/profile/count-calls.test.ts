/**
 * The counters that a profile puts into a module.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { call, i32 } from '../../src/wasm/expression.ts'
import { ModuleBuilder } from '../../src/wasm/module.ts'
import { countCalls } from './count-calls.ts'

/** `twice` calls `once` two times; `once` calls what is imported. */
function sample(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder()
  const imported = module.importFunction('env', 'next', { parameters: ['i32'], result: 'i32' })
  const once = module.function({ parameters: ['i32'], result: 'i32' })
  const local = once.local('i32')
  once.set(local, call(imported, once.parameters[0]!))
  once.return(i32.add(local, i32.const(0)))
  const twice = module.function({ parameters: ['i32'], result: 'i32' })
  twice.return(call(once, call(once, twice.parameters[0]!)))
  module.exportFunction('once', once)
  module.exportFunction('twice', twice)
  return module.finish()
}

test('calls from inside and outside are counted, and nothing else changes', () => {
  const bytes = countCalls(sample(), (name) => name === 'once')
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes),
    { env: { next: (n: number) => n + 1 } })
  const once = exports['once'] as (n: number) => number
  const twice = exports['twice'] as (n: number) => number
  assert.equal(once(5), 6)
  assert.equal(twice(5), 7)
  assert.equal((exports['count.once'] as WebAssembly.Global).value, 3n)
  assert.equal(exports['count.twice'], undefined)
})
