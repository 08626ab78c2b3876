/**
 * The hash of decoded code: two places for each address.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeDecoder } from '../../isa/decode/decoder.ts'
import { allInstructions } from '../../isa/instructions/all.ts'
import { CODE_HASH_BITS, CODE_MODE_LONG, coreMap } from '../core-memory.ts'
import { CodeCache } from './code-cache.ts'
import { firstPlace, otherPlace } from './code-hash.ts'
import { controlAt } from './core-fields.ts'

/** Some that should lie in the same place: the hash adds the upper bits to the lower ones. */
const SAME = [0x1000, 0x1000 ^ 0x4_0010, 0x1000 ^ 0x8_0020] as const

test('code of addresses with one first place in the hash is found there by turns', () => {
  const core = new ArrayBuffer(coreMap.end)
  const words = new Uint32Array(core)
  words[controlAt('codeMode') >>> 2] = CODE_MODE_LONG
  const machine = new Uint8Array(0x10_0000).fill(0xc3)
  const nothing = (): void => {}
  const cache = new CodeCache({
    core, machine, decode: makeDecoder(allInstructions), handlerOf: () => 1, pairUp: nothing,
    execTranslate: () => -1, linear: () => 0n,
    markCode: nothing, clearCode: nothing, found: nothing, invalidated: nothing,
    addLines: nothing, flushed: nothing,
  })
  const hash = coreMap.codeHash >>> 2
  const kept = (): Map<number, number> =>
    new Map([...words.subarray(hash, hash + (2 << CODE_HASH_BITS))].flatMap((word, i, all) =>
      i % 2 === 1 && word !== 0 ? [[all[i - 1]!, hash + i - 1]] : []))
  const wanted = (address: number): boolean => {
    const isMissed = !kept().has(address)
    if (isMissed) cache.decode(address)
    return isMissed
  }
  for (let turn = 0; SAME.some(wanted); turn++) assert.ok(turn < 10, 'all find a place')
  for (const [address, place] of kept()) {
    const first = firstPlace(address)
    assert.equal(first, firstPlace(SAME[0]))
    assert.ok(place === first || place === otherPlace(first, address))
    assert.equal(otherPlace(otherPlace(first, address), address), first)
  }
  cache.invalidate(SAME[0] & -4096)
  assert.deepEqual([...kept().keys()].sort(), SAME.slice(1).sort())
})
