/**
 * pygrub's menu, as a machine without clock or terminal: a state and a key, or a second that has
 * passed, give the next state; and a state gives the screen that shows it.
 *
 * Keys are those of Xen's pygrub. Lists show a window, lines that are edited are bounded; titles
 * and lines are the guest's, and none of their control characters reaches the terminal.
 */
import type { BootConfig, BootEntry } from './boot-config.ts'
import type { Key } from './keys.ts'

/** All entries. */
interface EntriesPage {
  readonly kind: 'entries'
}

/** The lines of one entry. */
interface LinesPage {
  readonly kind: 'lines'
  readonly lines: readonly string[]
  readonly at: number
}

/** One line being edited, and what becomes of it. */
interface EditorPage {
  readonly kind: 'editor'
  readonly text: string
  readonly cursor: number
  readonly purpose:
    /** It replaces a line of the selected entry, which then boots. */
    | { readonly what: 'boot', readonly at: number }
    /** It replaces a line of those that are being edited. */
    | { readonly what: 'change', readonly page: LinesPage }
    /** It is one more line of an entry that is being typed. */
    | { readonly what: 'type', readonly lines: readonly string[] }
}

export interface MenuState {
  readonly config: BootConfig
  readonly selected: number
  /** Until the default boots; undefined when nobody counts. */
  readonly secondsLeft: number | undefined
  readonly page: EntriesPage | LinesPage | EditorPage
  /** What is to be booted, once that is decided; nothing at all after an interrupt. */
  readonly outcome?: BootEntry | 'interrupted' | undefined
}

const ENTRIES: EntriesPage = { kind: 'entries' }
/** Where a configuration says nothing, or that it waits for ever: so does Xen's pygrub. */
const UNSAID_SECONDS = 1
/** Nothing is typed into a line beyond this. */
const MOST_CHARACTERS = 4096
/** No lines are added to an entry of so many. */
const MOST_LINES = 1000

/** The menu as it first appears, with `selected` as what boots if nobody comes. */
export function openMenu(config: BootConfig, selected = config.defaultIndex): MenuState {
  const entry = config.entries[selected] === undefined ? 0 : selected
  const secondsLeft = config.timeoutSeconds ?? UNSAID_SECONDS
  return counted({ config, selected: entry, secondsLeft, page: ENTRIES })
}

/** A second has passed. */
export function passSecond(state: MenuState): MenuState {
  const { secondsLeft } = state
  return secondsLeft === undefined ? state : counted({ ...state, secondsLeft: secondsLeft - 1 })
}

function counted(state: MenuState): MenuState {
  const { secondsLeft } = state
  return secondsLeft !== undefined && secondsLeft <= 0 ? booting(state) : state
}

function booting(state: MenuState, entry = state.config.entries[state.selected]): MenuState {
  return { ...state, outcome: entry }
}

/** A key was pressed, which also stops the clock. */
export function pressKey(before: MenuState, key: Key): MenuState {
  const state = { ...before, secondsLeft: undefined }
  if (key === 'Interrupt') return { ...state, outcome: 'interrupted' }
  const { page } = state
  switch (page.kind) {
    case 'entries': return pressInEntries(state, key)
    case 'lines': return pressInLines(state, page, key)
    case 'editor': return pressInEditor(state, page, key)
  }
}

function within(index: number, length: number): number {
  return Math.max(0, Math.min(index, length - 1))
}

function pressInEntries(state: MenuState, key: Key): MenuState {
  const { config, selected } = state
  const go = (to: number): MenuState => ({ ...state, selected: within(to, config.entries.length) })
  const entry = config.entries[selected]
  if (key === 'Up') return go(selected - 1)
  if (key === 'Down') return go(selected + 1)
  if (key === 'Enter') return booting(state)
  if (config.isLocked || !entry) return state
  const { lines } = entry
  if (key === 'e') return { ...state, page: { kind: 'lines', lines, at: 0 } }
  if (key === 'c') return { ...state, page: editor('', { what: 'type', lines: [] }) }
  const at = config.argumentsLine(lines)
  return key === 'a' && at >= 0
    ? { ...state, page: editor(lines[at] ?? '', { what: 'boot', at }) } : state
}

function pressInLines(state: MenuState, page: LinesPage, key: Key): MenuState {
  const { lines } = page
  const at = within(page.at, lines.length)
  const show = (next: readonly string[], to: number): MenuState =>
    ({ ...state, page: { kind: 'lines', lines: next, at: within(to, next.length) } })
  const open = (where: number): MenuState =>
    lines.length < MOST_LINES ? show(lines.toSpliced(where, 0, ''), where) : state
  switch (key) {
    case 'Up': return show(lines, at - 1)
    case 'Down': return show(lines, at + 1)
    case 'o': return open(at + 1)
    case 'O': return open(at)
    case 'd': return show(lines.toSpliced(at, 1), at)
    case 'e': case 'Enter':
      return lines.length === 0 ? state
        : { ...state, page: editor(lines[at] ?? '', { what: 'change', page }) }
    case 'b': return bootLines(state, lines)
    case 'c': return { ...state, page: editor('', { what: 'type', lines: [] }) }
    case 'q': case 'Escape': return { ...state, page: ENTRIES }
    default: return state
  }
}

function bootLines(state: MenuState, lines: readonly string[]): MenuState {
  const title = state.config.entries[state.selected]?.title ?? ''
  return booting(state, state.config.read(title, lines))
}

function editor(text: string, purpose: EditorPage['purpose']): EditorPage {
  return { kind: 'editor', text, cursor: text.length, purpose }
}

function pressInEditor(state: MenuState, page: EditorPage, key: Key): MenuState {
  if (key === 'Escape') return { ...state, page: behind(page) }
  if (key === 'Enter') return accept(state, page)
  return { ...state, page: edited(page, key) }
}

/** Where one comes to who leaves an editor. */
function behind({ purpose }: EditorPage): MenuState['page'] {
  return purpose.what === 'change' ? purpose.page : ENTRIES
}

function accept(state: MenuState, page: EditorPage): MenuState {
  const { text, purpose } = page
  if (text === '') return { ...state, page: behind(page) }
  if (purpose.what === 'boot') {
    const lines = state.config.entries[state.selected]?.lines ?? []
    return bootLines(state, lines.with(purpose.at, text))
  }
  if (purpose.what === 'change') {
    const { lines, at } = purpose.page
    return { ...state, page: { ...purpose.page, lines: lines.with(at, text) } }
  }
  if (text === 'boot') return booting(state, state.config.read('', purpose.lines))
  if (text === 'quit' || text === 'return') return { ...state, page: ENTRIES }
  const lines = [...purpose.lines, text].slice(0, MOST_LINES)
  return { ...state, page: editor('', { what: 'type', lines }) }
}

function edited(page: EditorPage, key: Key): EditorPage {
  const { text, cursor } = page
  const move = (to: number): EditorPage =>
    ({ ...page, cursor: Math.max(0, Math.min(to, text.length)) })
  const put = (from: number, until: number, typed: string): EditorPage => ({
    ...page, text: text.slice(0, from) + typed + text.slice(until), cursor: from + typed.length,
  })
  switch (key) {
    case 'Left': return move(cursor - 1)
    case 'Right': return move(cursor + 1)
    case 'Home': return move(0)
    case 'End': return move(text.length)
    case 'Backspace': return cursor > 0 ? put(cursor - 1, cursor, '') : page
    case 'Delete': return put(cursor, cursor + 1, '')
    case 'Kill': return put(cursor, text.length, '')
    default:
      return key.length === 1 && text.length < MOST_CHARACTERS ? put(cursor, cursor, key) : page
  }
}
