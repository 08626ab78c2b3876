/**
 * What "host,name=value" makes of CPUID, and what is said of what is wrong.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCpuid } from './cpuid.ts'

function parse(text: string) {
  const said: string[] = []
  const changes = parseCpuid(text, (line) => said.push(line))
    .map(({ word, bit, value }) => `${word}:${bit}=${value}`)
  return { changes, said }
}

test('features are shown or hidden by libxl\'s names', () => {
  assert.deepEqual(parse('host,avx2=0,invtsc=1,sse4.1=k,sse3=s,fsrm=x,page1gb=0'), {
    changes: [
      '7.ebx:5=0', '80000007.edx:8=1', '1.ecx:19=k', '1.ecx:0=s', '7.edx:4=x',
      '80000001.edx:26=0',
    ],
    said: [],
  })
  assert.deepEqual(parse('host,avx2=7,bmi1=2').changes, ['7.ebx:5=1', '7.ebx:3=0'])
  assert.deepEqual(parse('host,tsc-adjust=0,tsc_adjust=1').changes, ['7.ebx:1=0', '7.ebx:1=1'])
  assert.deepEqual(parse('host'), { changes: [], said: [] })
  assert.deepEqual(parse('host,avx512f=1,gfni=0'), { changes: [], said: [] })
})

test('what is wrong is said in xl\'s words, and the rest counts', () => {
  const flag = (text: string): string => parse(`host,${text},avx=0`).said.join('|')
  assert.equal(flag('foo=1'),
    'while parsing CPUID flag: "foo=1":\n  error #2: unknown CPUID flag name')
  assert.equal(flag('avx2=y'), 'while parsing CPUID flag: "avx2=y":\n' +
    '  error #3: illegal CPUID value (must be: [0|1|x|k|s])')
  assert.equal(flag('avx2'), 'while parsing CPUID flag: "avx2":\n' +
    '  error #1: missing "=" in key=value')
  assert.equal(flag('family=6'), 'while parsing CPUID flag: "family=6":\n' +
    '  error: "family" cannot be set here')
  assert.deepEqual(parse('host,foo=1,avx=0').changes, ['1.ecx:28=0'])
  assert.deepEqual(parse('avx2=0'), {
    changes: [],
    said: ['while parsing CPUID string: "avx2=0":\n  error: first word must be "host"'],
  })
})
