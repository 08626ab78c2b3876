/**
 * pygrub's menu: what keys and time make of it, what it shows, and how it sits at a terminal.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConsoleTypist } from '../../backends/console-end.ts'
import type { BootConfig, BootEntry } from './boot-config.ts'
import { parseGrub2 } from './grub2.ts'
import { type Key, KeyReader } from './keys.ts'
import { parseExtlinux, parseMenuLst } from './line-configs.ts'
import { type MenuState, openMenu, passSecond, pressKey } from './menu.ts'
import { clockOf, screenOf } from './menu-screen.ts'
import { chooseAt } from './menu-session.ts'

const config = parseGrub2(`set default=1
set timeout=3
menuentry 'one' {
  linux /vmlinuz root=/dev/xvda
  initrd /initrd.img
}
submenu 'more' {
  menuentry 'two' {
    insmod ext2; linux /other quiet
  }
  menuentry 'three' { linux /third
  }
}
`)
const many = parseGrub2(Array.from({ length: 30 }, (_, i) =>
  `menuentry 'entry ${i}' {\nlinux /k${i}\n}\n`).join(''))

/** Presses named keys, and each character of what is no name. */
function press(state: MenuState, ...keys: string[]): MenuState {
  const all = keys.flatMap((key): Key[] => /^[A-Z][a-z]+$/.test(key) ? [key] : [...key])
  return all.reduce(pressKey, state)
}

function outcome(state: MenuState): BootEntry {
  assert.equal(typeof state.outcome, 'object')
  return state.outcome as BootEntry
}

/** The rows of a terminal that was sent `text`, without the spaces at their ends. */
function screen(text: string): string[] {
  const rows = Array.from({ length: 24 }, () => Array<string>(80).fill(' '))
  let [row, column] = [0, 0]
  for (const [, sequence, char] of text.matchAll(/\x1b\[([?\d;]*[A-Za-z])|([^])/g)) {
    const [first = 1, second = 1] = (sequence ?? '').split(';').map((n) => Number.parseInt(n) || 1)
    if (sequence?.endsWith('H')) [row, column] = [first - 1, second - 1]
    else if (sequence?.endsWith('J')) rows.forEach((one) => one.fill(' '))
    else if (sequence?.endsWith('K')) rows[row]!.fill(' ', column)
    else if (sequence === undefined) {
      assert(char! >= ' ' && char !== '\x7f', `a control character: ${JSON.stringify(char)}`)
      assert(row < 24 && column < 80, `beyond the screen: ${row} ${column}`)
      rows[row]![column++] = char!
    }
  }
  return rows.map((cells) => cells.join('').trimEnd())
}

/** What is shown in reverse. */
function marked(state: MenuState): string {
  return /\x1b\[7m(.*?) *\x1b\[m/.exec(screenOf(state))?.[1] ?? ''
}

test('arrows move the mark and stop at the ends, Enter boots what is marked', () => {
  const state = openMenu(config)
  assert.equal(marked(state), 'two')
  assert.equal(marked(press(state, 'Up', 'Up', 'Up')), 'one')
  assert.equal(marked(press(state, 'Down', 'Down', 'Down')), 'three')
  assert.equal(outcome(press(state, 'Down', 'Enter')).kernel, '/third')
  assert.equal(outcome(press(state, 'Enter')).args, 'quiet')
  assert.equal(press(state, 'Interrupt').outcome, 'interrupted')
})

test('the default boots when its time is over, unless a key was pressed', () => {
  const passed = (state: MenuState, seconds: number): MenuState =>
    Array.from({ length: seconds }).reduce<MenuState>((one) => passSecond(one), state)
  const state = openMenu(config)
  assert.match(clockOf(passed(state, 2)), /in 1 s/)
  assert.equal(passed(state, 2).outcome, undefined)
  assert.equal(outcome(passed(state, 3)).title, 'two')
  const stopped = pressKey(state, 'x')
  assert.equal(passed(stopped, 1000).outcome, undefined)
  assert.doesNotMatch(screenOf(stopped), /stops the clock/)
  assert.equal(outcome(openMenu({ ...config, timeoutSeconds: 0 })).title, 'two')
  const unsaid = openMenu({ ...config, timeoutSeconds: undefined })
  assert.equal(unsaid.outcome, undefined)
  assert.equal(outcome(passed(unsaid, 1)).title, 'two')
  assert.equal(marked(openMenu({ ...config, defaultIndex: 7 })), 'one')
})

test('what configurations say of time', () => {
  const grub = (text: string) => parseGrub2(text).timeoutSeconds
  assert.deepEqual(['', 'set timeout=5', 'set timeout="-1"', 'set timeout=0',
    'set timeout=30\nset timeout=5', 'set timeout=5\nset timeout=${t}', 'set timeout_style=menu',
    `set timeout=${'9'.repeat(400)}`,
  ].map(grub), [undefined, 5, undefined, 0, 5, 5, undefined, 1e9])
  assert.deepEqual(['timeout 3', 'timeout=4', 'timeout -1', ''].map((text) =>
    parseMenuLst(text).timeoutSeconds), [3, 4, undefined, undefined])
  assert.deepEqual(['TIMEOUT 50', 'timeout 1', 'TIMEOUT 0', 'PROMPT 1'].map((text) =>
    parseExtlinux(text, '').timeoutSeconds), [5, 1, undefined, undefined])
})

test('a: the arguments of the kernel are edited, and what comes of it boots', () => {
  const state = press(openMenu(config), 'Up', 'a')
  assert.match(screenOf(state), /> linux \/vmlinuz root=\/dev\/xvda/)
  const { args, ramdisks } = outcome(press(state, ' single', 'Enter'))
  assert.deepEqual([args, ramdisks], ['root=/dev/xvda single', ['/initrd.img']])
  const back = press(state, ' single', 'Escape')
  assert.equal(outcome(press(back, 'Enter')).args, 'root=/dev/xvda')
  const extlinux = parseExtlinux('LABEL x\nKERNEL /k\nAPPEND a\n', '/boot')
  assert.equal(outcome(press(openMenu(extlinux), 'a', ' b', 'Enter')).args, 'a b')
  const menuLst = parseMenuLst('title x\nroot (hd0)\nkernel (hd0,0)/k a\n')
  assert.equal(outcome(press(openMenu(menuLst), 'a', ' b', 'Enter')).args, 'a b')
  const bare = parseExtlinux('LABEL x\nKERNEL /k\n', '/boot')
  assert.equal(press(openMenu(bare), 'a').page.kind, 'entries')
})

test('e: lines are changed, added and removed, and b boots them', () => {
  const state = press(openMenu(config), 'e')
  assert.deepEqual(screen(screenOf(state)).slice(3, 5), ['  insmod ext2', '  linux /other quiet'])
  const changed = press(state, 'Down', 'e', 'Kill', 'Backspace', '!', 'Enter')
  assert.equal(outcome(press(changed, 'b')).args, 'quie!')
  assert.equal(outcome(press(state, 'Down', 'e', '!', 'Escape', 'b')).args, 'quiet')
  const more = press(state, 'Down', 'o', 'e', 'initrd /i', 'Enter', 'O', 'e', 'linux /k', 'Enter')
  assert.deepEqual([outcome(press(more, 'b'))].map(({ title, kernel, ramdisks }) =>
    [title, kernel, ramdisks]), [['two', '/k', ['/i']]])
  const none = press(state, 'ddd', 'e', 'Down', 'd')
  assert.equal(outcome(press(none, 'b')).kernel, undefined)
  assert.equal(outcome(press(none, 'oe', 'linux /new', 'Enter', 'b')).kernel, '/new')
  assert.equal(outcome(press(changed, 'q', 'Enter')).args, 'quiet')
})

test('c: commands of one\'s own boot, or are forgotten', () => {
  const typed = press(openMenu(config), 'c', 'linux /k  a=1', 'Enter', 'initrd /i', 'Enter')
  const { kernel, args, ramdisks } = outcome(press(typed, 'boot', 'Enter'))
  assert.deepEqual([kernel, args, ramdisks], ['/k', 'a=1', ['/i']])
  assert.deepEqual(screen(screenOf(typed)).slice(3, 6), ['  linux /k  a=1', '  initrd /i', '  >'])
  for (const end of [['Escape'], ['quit', 'Enter'], ['return', 'Enter'], ['Enter']]) {
    assert.equal(press(typed, ...end).page.kind, 'entries')
  }
})

test('an editor knows the usual keys, and shows the part that the cursor is in', () => {
  const line = (...keys: string[]): string => {
    const { page } = press(openMenu(config), 'c', ...keys)
    assert.equal(page.kind, 'editor')
    return page.kind === 'editor'
      ? `${page.text.slice(0, page.cursor)}|${page.text.slice(page.cursor)}` : ''
  }
  assert.equal(line('abc', 'Left', 'x'), 'abx|c')
  assert.equal(line('abc', 'Home', 'Left', 'Delete', 'Right'), 'b|c')
  assert.equal(line('abc', 'Home', 'Backspace', 'End', 'Right', 'Delete'), 'abc|')
  assert.equal(line('abc', 'Left', 'Left', 'Kill', 'Up'), 'a|')
  assert.equal(line('x'.repeat(5000)).length, 4097)
  const long = press(openMenu(config), 'c', '0123456789'.repeat(20), 'Left')
  const [row = ''] = screen(screenOf(long)).filter((text) => text.startsWith('  <'))
  const [, column] = /\x1b\[4;(\d+)H\x1b\[\?25h/.exec(screenOf(long)) ?? []
  assert.equal(row[Number(column) - 1], '9')
})

test('of many entries those about the mark are shown', () => {
  const state = openMenu(many, 20)
  const rows = screen(screenOf(state))
  assert.equal(rows.filter((row) => row.startsWith('  entry ')).length, 12)
  assert.equal(marked(state), 'entry 20')
  assert(screen(screenOf(openMenu(many, 29))).includes('  entry 29'))
  assert(screen(screenOf(openMenu(many, 0))).includes('  entry 11'))
})

test('no text of a guest\'s leaves its row or speaks to the terminal', () => {
  const evil = `x\x1b[2J\x07\x9b2J\u202e\t${'long '.repeat(40)}`
  const state = openMenu({
    ...config, entries: [{ title: evil, lines: [evil], args: '', ramdisks: [] }],
  })
  for (const one of [state, press(state, 'e'), press(state, 'ee')]) screen(screenOf(one))
})

test('a password keeps entries as they are', () => {
  const locked = parseMenuLst('password --md5 x\ntitle a\nkernel /k a\ntitle b\nkernel /l b\n')
  const state = openMenu(locked)
  for (const key of ['e', 'a', 'c']) assert.equal(press(state, key).page.kind, 'entries')
  assert.equal(outcome(press(state, 'Down', 'Enter')).kernel, '/l')
})

test('keys come out of bytes, however these are cut', () => {
  const keys = (...parts: string[]): Key[] => {
    const reader = new KeyReader()
    return [...parts.flatMap((part) => reader.read(new TextEncoder().encode(part))),
      ...reader.flush()]
  }
  const sequence = '\x1b[A\x1bOB\x1b[3~e\r\n\x7f\x1b[1;5C\x1b\x1b[H'
  const expected = ['Up', 'Down', 'Delete', 'e', 'Enter', 'Backspace', 'Escape', 'Home']
  assert.deepEqual(keys(sequence), expected)
  assert.deepEqual(keys(...sequence), expected)
  assert.deepEqual(keys('\n\n\r\r'), ['Enter', 'Enter', 'Enter', 'Enter'])
  assert.deepEqual(keys('\x1b'), ['Escape'])
  assert.deepEqual(keys('\x1b['), [])
  assert.deepEqual(keys('\x1bq'), ['Escape', 'q'])
  assert.deepEqual(keys(`\x1b[${'0'.repeat(100)}`).length, 86)
  assert.deepEqual(keys('\0\x02é'), ['Left'])
})

/** A terminal whose time passes when a test says so. */
function terminal() {
  const timers = new Map<() => void, number>()
  const seen = { shown: '', typist: undefined as ConsoleTypist | undefined, timers }
  return {
    seen,
    type: (text: string) => seen.typist?.input(new TextEncoder().encode(text)),
    /** Lets the next timer of so many milliseconds end. */
    pass: (ms: number) => {
      const [work] = [...timers].find(([, after]) => after === ms) ?? []
      assert(work)
      timers.delete(work)
      work()
    },
    write: (text: string) => void (seen.shown += text),
    listen: (typist?: ConsoleTypist) => void (seen.typist = typist),
    delay: (ms: number, work: () => void) => {
      timers.set(work, ms)
      return () => void timers.delete(work)
    },
  }
}

async function titleAt(
  play: (at: ReturnType<typeof terminal>) => void, changed: Partial<BootConfig> = {},
): Promise<string> {
  const at = terminal()
  const chosen = chooseAt(at, { ...config, ...changed }, 1)
  play(at)
  try {
    return (await chosen).title
  } finally {
    assert.equal(at.seen.timers.size, 0)
    assert.equal(at.seen.typist, undefined)
  }
}

test('at a terminal seconds pass until a key stops them', async () => {
  assert.equal(await titleAt((at) => [1, 2, 3].forEach(() => at.pass(1000))), 'two')
  assert.equal(await titleAt((at) => {
    at.pass(1000)
    assert.deepEqual(screen(at.seen.shown)[21], '  Boots the marked entry in 2 s. ' +
      'Any key stops the clock.')
    at.type('\x1b')
    assert.deepEqual([...at.seen.timers.values()].sort(), [1000, 500])
    at.type('[')
    at.type('A')
    assert.equal(at.seen.timers.size, 0)
    at.type('\r')
  }), 'one')
  assert.equal(await titleAt((at) => assert.equal(at.seen.shown, ''), { timeoutSeconds: 0 }), 'two')
})

test('an escape alone is the key of that name after a while', async () => {
  assert.equal(await titleAt((at) => {
    at.type('e\x1b')
    assert.match(at.seen.shown, /insmod/)
    at.pass(500)
    at.type('\x1b[B\r')
  }), 'three')
})

test('a terminal that goes away, and Ctrl-C, leave nothing to boot', async () => {
  await assert.rejects(titleAt((at) => at.seen.typist?.closed()), /its terminal is gone/)
  await assert.rejects(titleAt((at) => at.type('e\x03x')), /nothing was chosen/)
})
