/**
 * Fuzz target: any text as a boot loader's configuration gives entries, and soon.
 *
 * `node fuzz/boot-configs.ts [runs] [seed]`; short by default.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { BootConfig } from '../src/toolstack/pygrub/boot-config.ts'
import { parseGrub2 } from '../src/toolstack/pygrub/grub2.ts'
import { parseExtlinux, parseMenuLst } from '../src/toolstack/pygrub/line-configs.ts'

/** What the parsers look for, and what may upset them. */
const pieces = fc.constantFrom(
  'menuentry', 'submenu', 'function f', 'linux', 'linux16', 'initrd', 'set default=', 'title',
  'kernel', 'root (hd0,0)', 'default', 'label', 'append', 'initrd=/a,b', '/vmlinuz', '(hd0', '()',
  '"', "'", '\\', '{', '}', '{}', ';', '#', '=', '\n', '\t', ' ', '\\\n', '0',
  '99999999999999999999', '${saved_entry}', '\0', '\u2028')
const texts = fc.array(fc.oneof({ weight: 5, arbitrary: pieces }, fc.string()), { maxLength: 60 })
  .map((parts) => parts.join(''))

function assertConfig({ entries, defaultIndex }: BootConfig, text: string): void {
  assert(Number.isInteger(defaultIndex) && defaultIndex >= 0)
  assert(entries.length <= text.length)
  for (const { args, ramdisks } of entries) {
    assert(args.length <= text.length)
    for (const path of ramdisks) assert.equal(typeof path, 'string')
  }
}

function tryText(text: string): void {
  assertConfig(parseGrub2(text), text)
  assertConfig(parseMenuLst(text), text)
  assertConfig(parseExtlinux(text, '/boot'), text)
}

if (import.meta.main) {
  const [runs = '2000', seed] = process.argv.slice(2)
  fc.assert(fc.property(texts, tryText),
    { numRuns: Number(runs), ...seed === undefined ? {} : { seed: Number(seed) } })
  console.log(`boot configurations: ${runs} runs`)
}
