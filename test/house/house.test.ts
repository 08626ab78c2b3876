/**
 * The house itself: what `npm run check` says of documents, layers and style, and that the checks
 * see what they are there to see.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { checkDocs, isExcerpt, linkProblems } from '../../tools/check/docs.ts'
import { checkLayers } from '../../tools/check/layers.ts'
import { checkStyle, longFunctionsOf } from '../../tools/check/style.ts'

process.chdir(new URL('../..', import.meta.url).pathname)

test('documents name, link to and quote what exists, and their code maps equal the tree', () => {
  assert.deepEqual(checkDocs(), [])
})

test('folders import only from folders that the table of layers allows', () => {
  assert.deepEqual(checkLayers('src'), [])
})

test('files keep to the parts of the style that a program can see', () => {
  assert.deepEqual(checkStyle(), [])
})

test('a link to a missing file or heading is a problem, one to a site is not', () => {
  const prose = '[a](none.md) [b](README.md#nowhere) [c](https://example.org/) [d](README.md)'
  assert.deepEqual(linkProblems({ path: 'README.md', text: prose, prose }), [
    'README.md: link to none.md, which is not there',
    'README.md: link to README.md#nowhere, but there is no such heading',
  ])
})

test('an excerpt may leave lines out where it says so, and not elsewhere', () => {
  const source = 'a\nb\nc\nd\n'
  assert(isExcerpt('b\nc\n', source))
  assert(isExcerpt('a\n// …\nd\n', source))
  assert(!isExcerpt('a\nd\n', source))
  assert(!isExcerpt('d\n// …\na\n', source))
})

test('functions, methods and callbacks of more than 70 lines are found, others are not', () => {
  const body = Array.from({ length: 70 }, () => '  work()')
  for (const head of [
    'function f(a: number): void {', 'export async function f() {', 'const f = (a) => {',
    '  private(', '  #walk(linear: bigint): number {', "test('a name', () => {",
  ]) {
    const [first, ...rest] = head.endsWith('(') ? [head, '    a: number,', '  ): void {'] : [head]
    const indentation = first!.startsWith('  ') ? '  ' : ''
    const lines = [first!, ...rest, ...body.map((line) => indentation + line), `${indentation}}`]
    assert.equal(longFunctionsOf('x.ts', lines).length, 1, head)
  }
  for (const head of [
    'class A {', 'const table = {', '  if (a(b)) {', 'interface A {', "describe('all', () => {",
  ]) {
    assert.deepEqual(longFunctionsOf('x.ts', [head, ...body, '}']), [], head)
  }
})
