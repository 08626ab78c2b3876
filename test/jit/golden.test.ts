/**
 * How many of WebAssembly's instructions guest loops become: speed that is lost shows here.
 *
 * `UPDATE=1` writes the golden files anew.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { countsOf, sizeOf } from './count.ts'
import { loopNames, loopOf } from './loops.ts'
import { textOf } from './wasm-text.ts'

const PRINTED = ['sum of an array', 'call and return', '32-bit arithmetic']

function expectGolden(file: string, text: string): void {
  const url = new URL(`golden/${file}`, import.meta.url)
  if (process.env['UPDATE']) writeFileSync(url, text)
  assert.equal(text, readFileSync(url, 'utf8'))
}

test('guest loops become as many instructions of WebAssembly as before', () => {
  const lines = loopNames.map((name) => {
    const { executed, regions } = countsOf(loopOf(name))
    const size = regions.reduce((sum, { instructions }) => sum + sizeOf(instructions), 0)
    return `${executed.toFixed(1).padStart(8)} ${String(size).padStart(6)}  ${name}\n`
  })
  expectGolden('counts.txt', `executed for one of the guest's; in all regions\n${lines.join('')}`)
})

for (const name of PRINTED) {
  test(`the region of "${name}" is as before`, () => {
    const module = countsOf(loopOf(name))
    expectGolden(`${name.replaceAll(' ', '-')}.txt`,
      module.regions.map((region) => textOf(region, module)).join('\n'))
  })
}
