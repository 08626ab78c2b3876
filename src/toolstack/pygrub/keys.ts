/**
 * Keys out of what a terminal sends: ECMA-48 sequences, as a VT100 and its like have them.
 *
 * A key is one printable character, or a name of several letters. A sequence may come in pieces; an
 * escape that nothing follows is the key of that name, which only time can tell (`flush`).
 */
export type Key = string

const ESCAPE = 0x1b
/** Longer sequences are no key's: their ends are not waited for. */
const MOST_SEQUENCE = 16

const CONTROLS: Readonly<Record<number, Key>> = {
  1: 'Home', 2: 'Left', 3: 'Interrupt', 4: 'Delete', 5: 'End', 6: 'Right', 8: 'Backspace',
  10: 'Enter', 11: 'Kill', 12: 'Redraw', 13: 'Enter', 127: 'Backspace',
}

/** By what follows `ESC [` or `ESC O`. */
const SEQUENCES: Readonly<Record<string, Key>> = {
  A: 'Up', B: 'Down', C: 'Right', D: 'Left', H: 'Home', F: 'End',
  '1~': 'Home', '7~': 'Home', '3~': 'Delete', '4~': 'End', '8~': 'End',
}

export class KeyReader {
  /** An escape and what followed it, as long as there may be more. */
  #sequence = ''
  #afterReturn = false

  /** Whether an escape waits for what follows it. */
  get isWaiting(): boolean {
    return this.#sequence !== ''
  }

  /** The keys that are complete with `bytes`. What is no key's is left out. */
  read(bytes: Uint8Array): Key[] {
    const keys: Key[] = []
    for (const byte of bytes) {
      const isLineEnd = byte === 10 && this.#afterReturn
      this.#afterReturn = byte === 13
      if (!isLineEnd) keys.push(...this.#take(byte))
    }
    return keys
  }

  /** Nothing more comes: what waits is the escape key, if it is only that. */
  flush(): Key[] {
    const isKey = this.#sequence.length === 1
    this.#sequence = ''
    return isKey ? ['Escape'] : []
  }

  #take(byte: number): Key[] {
    if (byte === ESCAPE) {
      const before = this.flush()
      this.#sequence = '\x1b'
      return before
    }
    const char = String.fromCharCode(byte)
    if (this.#sequence === '') return keyOf(byte, char)
    if (this.#sequence.length === 1 && char !== '[' && char !== 'O') {
      return [...this.flush(), ...keyOf(byte, char)]
    }
    this.#sequence += char
    if (this.#sequence.length === 2) return []
    const isFinal = byte >= 0x40 && byte <= 0x7e
    if (!isFinal && this.#sequence.length < MOST_SEQUENCE) return []
    const key = SEQUENCES[this.#sequence.slice(2)]
    this.#sequence = ''
    return key === undefined ? [] : [key]
  }
}

function keyOf(byte: number, char: string): Key[] {
  if (byte >= 0x20 && byte < 0x7f) return [char]
  const named = CONTROLS[byte]
  return named === undefined ? [] : [named]
}
