/**
 * The hash of decoded code: two places for each entry.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeDecoder } from '../../isa/decode/decoder.ts'
import { allInstructions } from '../../isa/instructions/all.ts'
import { CODE_HASH_BITS, CODE_HASH_OTHER, CODE_MODE_LONG, coreMap } from '../core-memory.ts'
import { CodeCache } from './code-cache.ts'
import { controlAt } from './core-fields.ts'

/** Two that should lie in the same place: the hash adds the upper bits to the lower ones. */
const [ONE, SAME] = [0x1000, 0x1000 ^ 0x4_0010]

test('code of two addresses with one place in the hash is found there by turns', () => {
  const core = new ArrayBuffer(coreMap.end)
  const words = new Uint32Array(core)
  words[controlAt('codeMode') >>> 2] = CODE_MODE_LONG
  const machine = new Uint8Array(0x8_0000).fill(0xc3)
  const nothing = (): void => {}
  const cache = new CodeCache({
    core, machine, decode: makeDecoder(allInstructions), handlerOf: () => 1,
    execTranslate: () => -1, linear: () => 0n,
    markCode: nothing, clearCode: nothing, found: nothing, invalidated: nothing,
    addLines: nothing, flushed: nothing,
  })
  const hash = coreMap.codeHash >>> 2
  const kept = (): number[] => [...words.subarray(hash, hash + (2 << CODE_HASH_BITS))]
    .flatMap((word, i, all) => i % 2 === 1 && word !== 0 ? [all[i - 1]!, i - 1] : [])
  cache.decode(ONE)
  cache.decode(SAME)
  const both = kept()
  assert.deepEqual([both[0], both[2]].sort(), [ONE, SAME].sort())
  assert.equal(both[1]! ^ both[3]!, CODE_HASH_OTHER >>> 2)
  cache.invalidate(ONE & -4096)
  assert.deepEqual(kept().filter((_, i) => i % 2 === 0), [SAME])
})
