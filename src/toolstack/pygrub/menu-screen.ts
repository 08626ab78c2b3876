/**
 * What the menu looks like on a terminal of 80 columns and 24 rows, in ECMA-48 sequences that a
 * VT100 knows.
 */
import type { MenuState } from './menu.ts'

const CLEAR = '\x1b[H\x1b[2J'
const HIDE_CURSOR = '\x1b[?25l'
const SHOW_CURSOR = '\x1b[?25h'
const REVERSE = '\x1b[7m'
const PLAIN = '\x1b[m'

const HEADING = 'pygrub  Which of these shall boot?'
const COLUMNS = 76
const FIRST_ROW = 4
const ROWS = 12
const HELP_ROW = 18
const CLOCK_ROW = 22

/** What a terminal is left with after the menu. */
export const farewell = `${PLAIN}${CLEAR}${SHOW_CURSOR}`

/** The whole screen. */
export function screenOf(state: MenuState): string {
  return CLEAR + HIDE_CURSOR + row(2, HEADING) + bodyOf(state) + clockOf(state)
}

/** Only the row that time changes. */
export function clockOf({ secondsLeft }: MenuState): string {
  return row(CLOCK_ROW, secondsLeft === undefined ? ''
    : `Boots the marked entry in ${secondsLeft} s. Any key stops the clock.`)
}

function bodyOf(state: MenuState): string {
  const { page, config } = state
  switch (page.kind) {
    case 'entries': {
      const help = config.isLocked ? LOCKED_HELP : ENTRIES_HELP
      return list(config.entries.map(({ title }) => title), state.selected) + rows(HELP_ROW, help)
    }
    case 'lines':
      return list(page.lines, page.at) + rows(HELP_ROW, LINES_HELP)
    case 'editor': {
      const typed = page.purpose.what === 'type' ? page.purpose.lines.slice(1 - ROWS) : []
      const help = page.purpose.what === 'type' ? TYPING_HELP : EDITOR_HELP
      return rows(HELP_ROW, help) + rows(FIRST_ROW, typed) +
        line(FIRST_ROW + typed.length, page.text, page.cursor)
    }
  }
}

const ENTRIES_HELP = [
  'Up and Down move the mark, Enter boots what is marked.',
  "'e' edits its commands, 'a' the arguments of its kernel,",
  "'c' takes commands of your own. Ctrl-C gives up.",
]
const LOCKED_HELP = [
  'Up and Down move the mark, Enter boots what is marked.',
  'A password keeps the entries as they are. Ctrl-C gives up.',
]
const LINES_HELP = [
  "Up and Down move the mark, 'e' edits the marked line, 'd' removes it,",
  "'o' and 'O' make a new one behind and before it.",
  "'b' boots this, 'c' takes other commands, Escape goes back.",
]
const EDITOR_HELP = [
  'Enter takes the line, Escape leaves it as it was. Arrows, Home, End,',
  'Backspace and Delete work, and Ctrl-A, B, D, E, F and K.',
]
const TYPING_HELP = [
  "One command a line, as in an entry; 'boot' boots them.",
  'Escape goes back.',
]

function row(number: number, text: string): string {
  return `\x1b[${number};3H${shown(text)}\x1b[K`
}

function rows(first: number, texts: readonly string[]): string {
  return texts.map((text, index) => row(first + index, text)).join('')
}

/** The part of a list in which the marked item is. */
function list(items: readonly string[], marked: number): string {
  const first = Math.max(0, Math.min(marked - (ROWS >> 1), items.length - ROWS))
  const part = items.slice(first, first + ROWS)
  return part.map((item, index) => {
    const text = shown(item).padEnd(COLUMNS)
    const mark = first + index === marked ? REVERSE + text + PLAIN : text
    return `\x1b[${FIRST_ROW + index};3H${mark}`
  }).join('')
}

/** A line with a cursor in it, or the part of it that is about the cursor. */
function line(at: number, text: string, cursor: number): string {
  const width = COLUMNS - 4
  const first = cursor < width ? 0 : cursor - (cursor % (width >> 1)) - (width >> 1)
  const sign = first > 0 ? '< ' : '> '
  return row(at, sign + text.slice(first, first + width)) +
    `\x1b[${at};${5 + cursor - first}H${SHOW_CURSOR}`
}

/** A guest's text as it may be shown: one row, and nothing that a terminal obeys. */
function shown(text: string): string {
  const part = text.slice(0, COLUMNS).replace(/[\p{C}\p{Z}]/gu, ' ')
  return part.length < text.length ? `${part.slice(0, -1)}>` : part
}
