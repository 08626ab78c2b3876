/**
 * Fuzz target: any text as a boot loader's configuration gives entries, and soon; and any keys at a
 * menu of these leave it whole, and its screen a screen.
 *
 * `node fuzz/boot-configs.ts [runs] [seed]`; short by default.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { BootConfig } from '../src/toolstack/pygrub/boot-config.ts'
import { parseGrub2 } from '../src/toolstack/pygrub/grub2.ts'
import { KeyReader } from '../src/toolstack/pygrub/keys.ts'
import { parseExtlinux, parseMenuLst } from '../src/toolstack/pygrub/line-configs.ts'
import { type MenuState, openMenu, passSecond, pressKey } from '../src/toolstack/pygrub/menu.ts'
import { clockOf, screenOf } from '../src/toolstack/pygrub/menu-screen.ts'

/** What the parsers look for, and what may upset them. */
const pieces = fc.constantFrom(
  'menuentry', 'submenu', 'function f', 'linux', 'linux16', 'initrd', 'set default=', 'title',
  'kernel', 'root (hd0,0)', 'default', 'label', 'append', 'initrd=/a,b', '/vmlinuz', '(hd0', '()',
  '"', "'", '\\', '{', '}', '{}', ';', '#', '=', '\n', '\t', ' ', '\\\n', '0',
  '99999999999999999999', '${saved_entry}', '\0', '\u2028')
const texts = fc.array(fc.oneof({ weight: 5, arbitrary: pieces }, fc.string()), { maxLength: 60 })
  .map((parts) => parts.join(''))

/** What is typed, in the pieces in which it comes. */
const typing = fc.array(fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('\x1b[A', '\x1b[B', '\x1b', '\r', ...'eodcb') },
  fc.string({ unit: 'binary' }),
), { maxLength: 40 })

const MOST_SCREEN = 8192

function assertConfig(config: BootConfig, text: string): void {
  const { entries, defaultIndex, timeoutSeconds = 0 } = config
  assert(Number.isInteger(defaultIndex) && defaultIndex >= 0)
  assert(Number.isInteger(timeoutSeconds) && timeoutSeconds >= 0)
  assert(entries.length <= text.length)
  for (const { title, lines, kernel, args, ramdisks } of entries) {
    assert(args.length <= text.length)
    for (const path of ramdisks) assert.equal(typeof path, 'string')
    // What nobody has changed boots as it would.
    const again = config.read(title, lines)
    assert.deepEqual([again.kernel, again.args, again.ramdisks], [kernel, args, ramdisks])
  }
}

function assertMenu(state: MenuState): void {
  const shown = screenOf(state) + clockOf(state)
  assert(shown.length < MOST_SCREEN)
  assert(!/[^\x20-\u{10ffff}]|\p{Cc}/u.test(shown.replaceAll(/\x1b\[[?\d;]*[HJKhlm]/g, '')))
  assert(state.selected >= 0 && state.selected < Math.max(1, state.config.entries.length))
}

function tryMenu(config: BootConfig, parts: readonly string[]): void {
  const keys = new KeyReader()
  let state = openMenu(config)
  assertMenu(state)
  for (const part of parts) {
    for (const key of keys.read(new TextEncoder().encode(part))) state = pressKey(state, key)
    if (part === '') state = passSecond(state)
    assertMenu(state)
  }
}

function tryText(text: string, parts: readonly string[]): void {
  for (const config of [parseGrub2(text), parseMenuLst(text), parseExtlinux(text, '/boot')]) {
    assertConfig(config, text)
    if (config.entries.length > 0) tryMenu(config, parts)
  }
}

if (import.meta.main) {
  const [runs = '2000', seed] = process.argv.slice(2)
  fc.assert(fc.property(texts, typing, tryText),
    { numRuns: Number(runs), ...seed === undefined ? {} : { seed: Number(seed) } })
  console.log(`boot configurations: ${runs} runs`)
}
