/**
 * Pages that are given back are zero, or what the file has, and can be used again.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { giveBackGarbage, giveBackPages } from './garbage.ts'

const PAGES = 4
const WASM_PAGE = 65536

// First of all: with the others, it is given back before.
test('of Node itself, what only starting used is given back', () => {
  const before = residentOfProgram()
  giveBackGarbage()
  assert.ok(residentOfProgram() < before * 0.7)
})

/** -> KiB of Node's own file. */
function residentOfProgram(): number {
  const mappings = readFileSync('/proc/self/smaps', 'latin1').split(/^(?=[0-9a-f]+-)/m)
  return mappings.filter((mapping) => mapping.split('\n', 1)[0]!.endsWith(process.execPath))
    .reduce((sum, mapping) => sum + Number(/^Rss: +(\d+)/m.exec(mapping)![1]), 0)
}

for (const shared of [false, true]) {
  test(`pages of a ${shared ? 'shared ' : ''}buffer are given back, and those around stay`, () =>
    giveBackOne(new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared })))
}

function giveBackOne({ buffer }: WebAssembly.Memory): void {
  const bytes = new Uint8Array(buffer)
  bytes.fill(1)
  assert.ok(giveBackPages(buffer, WASM_PAGE, WASM_PAGE))
  giveBackGarbage()
  const sums = Array.from({ length: PAGES }, (_, page) =>
    bytes.subarray(page * WASM_PAGE, (page + 1) * WASM_PAGE).reduce((sum, byte) => sum + byte, 0))
  assert.deepEqual(sums, [WASM_PAGE, 0, WASM_PAGE, WASM_PAGE])
  bytes.fill(2)
  assert.equal(bytes[WASM_PAGE], 2)
}

test('a thread gives back memory without a word', async () => {
  const url = new URL('garbage.ts', import.meta.url).href
  const worker = new Worker(`import(${JSON.stringify(url)}).then((garbage) => {
    process.on('warning', (warning) => { throw warning })
    garbage.giveBackGarbage()
  })`, { eval: true, stderr: true })
  let said = ''
  worker.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const code = await new Promise((resolve) => worker.once('exit', resolve))
  assert.equal(code, 0)
  assert.equal(said, '')
})
