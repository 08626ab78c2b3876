/**
 * The menu at a terminal: keys come in, screens go out, seconds pass.
 */
import type { ConsoleTypist } from '../../backends/console-end.ts'
import { StorageError } from '../../storage/error.ts'
import type { BootConfig, BootEntry } from './boot-config.ts'
import { KeyReader } from './keys.ts'
import { type MenuState, openMenu, passSecond, pressKey } from './menu.ts'
import { clockOf, farewell, screenOf } from './menu-screen.ts'

/** The terminal that a boot loader has. */
export interface BootTerminal {
  write(text: string): void
  /** Who is told from now on; nobody when left out. */
  listen(typist?: ConsoleTypist): void
  /** Runs `work` after `ms`; the result cancels it. */
  delay(ms: number, work: () => void): () => void
}

/** What follows an escape in a sequence comes within this time. */
const SEQUENCE_MS = 500
const SECOND_MS = 1000

/** Shows the menu until an entry is chosen; StorageError when that is given up. Without time to
 * wait nothing is shown. */
export function chooseAt(
  terminal: BootTerminal, config: BootConfig, selected: number,
): Promise<BootEntry> {
  const first = openMenu(config, selected)
  if (typeof first.outcome === 'object') return Promise.resolve(first.outcome)
  return new Promise((resolve, reject) => {
    const keys = new KeyReader()
    let state = first
    let cancelSecond = (): void => {}
    let cancelEscape = (): void => {}
    const end = (failure?: string): void => {
      cancelSecond()
      cancelEscape()
      terminal.listen()
      terminal.write(farewell)
      const { outcome } = state
      if (failure === undefined && typeof outcome === 'object') resolve(outcome)
      else reject(new StorageError('not found', failure ?? 'nothing was chosen'))
    }
    const show = (next: MenuState, text: (state: MenuState) => string): void => {
      state = next
      if (state.outcome !== undefined) return end()
      terminal.write(text(state))
    }
    const press = (pressed: readonly string[]): void => {
      if (pressed.length === 0) return
      cancelSecond()
      let next = state
      for (const key of pressed) {
        next = pressKey(next, key)
        if (next.outcome !== undefined) break
      }
      show(next, screenOf)
    }
    const count = (): void => {
      if (state.secondsLeft === undefined) return
      cancelSecond = terminal.delay(SECOND_MS, () => {
        show(passSecond(state), clockOf)
        if (state.outcome === undefined) count()
      })
    }
    terminal.listen({
      input: (bytes) => {
        cancelEscape()
        press(keys.read(bytes))
        if (keys.isWaiting && state.outcome === undefined) {
          cancelEscape = terminal.delay(SEQUENCE_MS, () => press(keys.flush()))
        }
      },
      closed: () => end('its terminal is gone'),
    })
    show(state, screenOf)
    count()
  })
}
