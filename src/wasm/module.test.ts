/**
 * Tests of the module writer: what it writes is compiled and run.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { call, i32, i64 } from './expression.ts'
import { ModuleBuilder } from './module.ts'

test('a module with imports, a loop, a switch and two memories runs', async () => {
  const module = new ModuleBuilder()
  const log = module.importFunction('env', 'log', { parameters: ['i32'], result: 'i32' })
  const first = module.importMemory('env', 'first', { initialPages: 1 })
  const second = module.importMemory('env', 'second', {
    initialPages: 1, maximumPages: 1, shared: true,
  })
  const f = module.function({ parameters: ['i32'], result: 'i64' })
  const [count] = f.parameters
  const sum = f.local('i64')
  f.loop((again) => {
    f.set(sum, i64.add(sum, i64.extendU(count!)))
    f.set(count!, i32.sub(count!, i32.const(1)))
    f.brIf(again, count!)
  })
  f.store('i64', first, i32.const(8), sum)
  f.store('i32As8', second, i32.const(0), i32.const(7))
  f.block((end) => {
    f.switch(i32.wrap(sum), [() => f.br(end)], () => f.drop(call(log, i32.load8U(second,
      i32.const(0)))))
  })
  f.return(i64.load(first, i32.const(0), 8))
  module.exportFunction('f', f)

  const logged: number[] = []
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
  const { instance } = await WebAssembly.instantiate(module.finish(), {
    env: {
      log: (n: number) => logged.push(n),
      first: new WebAssembly.Memory({ initial: 1 }),
      second: memory,
    },
  })
  assert.equal((instance.exports['f'] as (n: number) => bigint)(10), 55n)
  assert.deepEqual(logged, [7])
})

test('what is postponed stands where its place was left, and hints keep theirs', async () => {
  const module = new ModuleBuilder()
  const f = module.function({ parameters: ['i32'], result: 'i32' })
  const [given] = f.parameters
  const total = f.local('i32')
  const add = (n: number): void => f.set(total, i32.add(total, i32.const(n)))
  f.block((end) => {
    f.ifUnlikely(i32.eq(given!, i32.const(1)), () => {
      f.postpone(() => {
        add(10)
        f.ifLikely(given!, () => f.br(end))
      })
      add(100)
    })
    f.postpone(() => add(1000))
    f.brUnlikely(end, i32.eqz(given!))
    add(10_000)
  })
  f.return(total)
  f.writePostponed()
  const body = f.finish().view()
  const hints = f.hints()!.view()
  // Behind the numbers of the function and of the hints: offset, size and value of each.
  const places = [hints[2]!, hints[5]!, hints[8]!]
  assert.equal(hints.length, 11)
  assert.deepEqual(places.map((at) => body[at]), [0x04, 0x04, 0x0d], 'if, if, br_if')
  module.exportFunction('f', f)
  const { instance } = await WebAssembly.instantiate(module.finish())
  const run = instance.exports['f'] as (n: number) => number
  assert.deepEqual([0, 1, 2].map((n) => run(n)), [1000, 10, 11_000])
})
