/**
 * The compiler's thread, and what becomes of cores when it dies.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CODE_MODE_LONG } from '../cpu/core-memory.ts'
import type { CompilerAnswer, PackedRegion } from '../cpu/jit/compiler.ts'
import { CompilerPort, CompilerThread } from './compiler-port.ts'

const sizes = { corePages: 1, machinePages: 1 }

/** One block of code at the start of a page, with what it leads to outside. */
function regionOf(number: number, bytes: readonly number[]): PackedRegion {
  const leadsTo = { kind: 'goes', to: { offset: bytes.length, block: -1 } } as const
  const shape = {
    codeMode: CODE_MODE_LONG,
    blocks: Int32Array.of(0, bytes.length), bytes: new Uint8Array(bytes),
    entries: Int32Array.of(0), keys: Int32Array.of(0), pages: Int32Array.of(0), isWide: false,
  }
  return { number, shape, ends: [leadsTo] }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}

function open(cores = 1, idleMs?: number, heapMb?: number) {
  const said: string[] = []
  const starts: number[] = []
  const say = (text: string): void => void said.push(text)
  const thread = new CompilerThread({ info: say, warn: say, error: say }, undefined, idleMs,
    heapMb)
  const ports = Array.from({ length: cores }, () =>
    new CompilerPort(thread.newEnd(), () => {
      starts.push(starts.length)
      thread.start()
    }))
  return { said, starts, thread, ports, port: ports[0]! }
}

async function answerOf(port: CompilerPort): Promise<CompilerAnswer> {
  let answer: CompilerAnswer | undefined
  await until(() => (answer = port.take()) !== undefined)
  return answer!
}

test('what a core asks for before the thread runs is compiled', async () => {
  const { said, thread, port } = open()
  // add rax, rbx; nop
  port.request({ sizes, regions: [regionOf(7, [0x48, 0x01, 0xd8])] })
  port.request({ sizes, regions: [regionOf(9, [0x90])] })
  const numbers: number[] = []
  await until(() => {
    const answer = port.take()
    if (!answer) return numbers.length === 2
    assert.ok(answer.kind === 'compiled')
    numbers.push(...answer.numbers)
    assert.equal(WebAssembly.Module.exports(answer.module).length, answer.numbers.length)
    return numbers.length === 2
  })
  assert.deepEqual(numbers, [7, 9])
  await thread.stop()
  assert.ok(port.works, 'it did not fail')
  assert.deepEqual(said, [])
})

test('a core whose thread is new is given an end while the compiler runs', async () => {
  const { thread, port } = open()
  port.request({ sizes, regions: [regionOf(1, [0x90])] })
  await until(() => port.take() !== undefined)
  const next = new CompilerPort(thread.newEnd(), () => thread.start())
  next.request({ sizes, regions: [regionOf(2, [0x90])] })
  await until(() => next.take() !== undefined)
  await thread.stop()
})

test('what a core asked for is news for the others', async () => {
  const { thread, ports: [one, other] } = open(2)
  one!.request({ sizes, regions: [regionOf(7, [0x90])] })
  const compiled = await answerOf(one!)
  const shared = await answerOf(other!)
  assert.ok(compiled.kind === 'compiled' && shared.kind === 'shared')
  assert.equal(compiled.bytes, shared.bytes)
  assert.deepEqual(shared.shapes, [regionOf(7, [0x90]).shape])
  assert.equal(one!.take(), undefined, 'not for itself')
  await thread.stop()
})

test('news wait for a core that does not look, but not without bound', async () => {
  const { thread, ports: [one, other] } = open(2)
  const requests = 50
  for (let i = 0; i < requests; i++) {
    one!.request({ sizes, regions: [regionOf(i, [0x90])] })
    await answerOf(one!)
  }
  other!.request({ sizes, regions: [regionOf(0, [0x90])] })
  let news = 0
  while ((await answerOf(other!)).kind === 'shared') news += 1
  assert.ok(news > 10 && news < requests, `${news} of ${requests}`)
  one!.request({ sizes, regions: [regionOf(0, [0x90])] })
  assert.equal((await answerOf(other!)).kind, 'shared', 'it is told again')
  await thread.stop()
})

test('the thread ends when nobody asks, and is started again by who does', async () => {
  const { said, starts, thread, ports } = open(2, 10)
  let number = 0
  while (starts.length < 5) {
    const port = ports[number % 2]!
    port.request({ sizes, regions: [regionOf(++number, [0x90])] })
    for (let done = false; !done;) {
      const answer = await answerOf(port)
      done = answer.kind === 'compiled' && answer.numbers[0] === number
    }
    // At times the next comes while the thread ends.
    await new Promise((resolve) => setTimeout(resolve, number % 25))
  }
  await thread.stop()
  assert.deepEqual(said, [])
})

test('a core that ended before the thread runs is left out', async () => {
  const { said, thread, port } = open()
  thread.newEnd().port.close()
  // Some turns later the other end of the port knows.
  await new Promise((resolve) => setTimeout(resolve, 50))
  port.request({ sizes, regions: [regionOf(1, [0x90])] })
  assert.equal((await answerOf(port)).kind, 'compiled')
  await thread.stop()
  assert.deepEqual(said, [])
})

test('when the thread dies the core is told, and the log once', async () => {
  const { said, thread, port } = open()
  assert.ok(port.works)
  port.request({ sizes, regions: [regionOf(1, [0x06])] })
  await until(() => !port.works)
  assert.equal(said.length, 1)
  assert.match(said[0]!, /interpreted from now on: a region has code that is none/)
  await thread.stop()
  assert.equal(said.length, 1)
})

test('so they are when it has no memory left', async () => {
  const { said, thread, port } = open(1, undefined, 8)
  port.request({ sizes, regions: [regionOf(1, [0x90])] })
  await until(() => !port.works)
  assert.equal(said.length, 1)
  assert.match(said[0]!, /interpreted from now on: .*memory/)
  port.request({ sizes, regions: [regionOf(2, [0x90])] })
  await thread.stop()
  assert.equal(said.length, 1)
})
