/**
 * What Linux says of a buffer for which huge pages are preferred.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { preferHugePages } from './huge-pages.ts'

const WASM_PAGE = 65536
const POLICY = '/sys/kernel/mm/transparent_hugepage/enabled'

/** Bytes of this process's mappings with the flag of MADV_HUGEPAGE. */
function advisedBytes(): number {
  const text = readFileSync('/proc/self/smaps', 'latin1')
  const mappings = text.matchAll(/^Size: +(\d+) kB\n(?:.*\n)*?VmFlags:(.*)$/gm)
  return [...mappings].filter(([, , flags]) => /\bhg\b/.test(flags!))
    .reduce((sum, [, kib]) => sum + Number(kib) * 1024, 0)
}

test('a memory is advised as a whole, shared or not, and reads as zeros', {
  skip: existsSync(POLICY) ? false : 'this system has no huge pages',
}, () => {
  for (const shared of [false, true]) {
    const { buffer } = new WebAssembly.Memory({ initial: 128, maximum: 128, shared })
    const before = advisedBytes()
    preferHugePages(buffer)
    assert.ok(advisedBytes() >= before + 128 * WASM_PAGE)
    assert.ok(new Uint8Array(buffer).every((byte) => byte === 0))
  }
})
