/**
 * grub.cfg, as far as it says what to boot.
 *
 * It is a program, and this does not run it: conditions are not looked at, and the last assignments
 * of `default` and `timeout` count, as for Xen's pygrub. An entry's default that is a name, or the
 * saved entry of an environment block, is the first entry, as there. Entries of submenus are
 * counted with the others in the order of the text. What stands in functions is left out. GRUB's
 * quoting is understood in titles and names; the kernel's arguments are taken as they are written.
 */
import {
  type BootConfig, type BootEntry, defaultIndexOf, openEntry, type OpenEntry, timeoutOf,
  withoutDevice,
} from './boot-config.ts'

/** A command: its words without quotes, and each word's place in the text. */
interface Command {
  readonly words: readonly string[]
  readonly starts: readonly number[]
  readonly end: number
}

/** Splits a script into commands; braces that stand alone are commands of their own. */
class Lexer {
  readonly #text: string
  #at = 0
  #words: string[] = []
  #starts: number[] = []
  readonly commands: Command[] = []

  constructor(text: string) {
    this.#text = text
  }

  run(): readonly Command[] {
    while (this.#at < this.#text.length) this.#step()
    this.#finish()
    return this.commands
  }

  #step(): void {
    const char = this.#text[this.#at]!
    if (char === '\n' || char === ';') {
      this.#finish()
      this.#at += 1
    } else if (char === '#') {
      const end = this.#text.indexOf('\n', this.#at)
      this.#finish()
      this.#at = end < 0 ? this.#text.length : end
    } else if (this.#text.startsWith('\\\n', this.#at)) {
      this.#at += 2
    } else if (/\s/.test(char)) {
      this.#at += 1
    } else {
      this.#word()
    }
  }

  #word(): void {
    const start = this.#at
    let word = ''
    let quote = ''
    for (; this.#at < this.#text.length; this.#at++) {
      const char = this.#text[this.#at]!
      if (char === '\\' && quote !== "'" && this.#at + 1 < this.#text.length) {
        this.#at += 1
        if (this.#text[this.#at] !== '\n') word += this.#text[this.#at]
      } else if (quote !== '') {
        if (char === quote) quote = ''
        else word += char
      } else if (char === '"' || char === "'") {
        quote = char
      } else if (/[\s;]/.test(char)) {
        break
      } else {
        word += char
      }
    }
    const raw = this.#text.slice(start, this.#at)
    if (raw === '}') this.#finish()
    this.#words.push(word)
    this.#starts.push(start)
    if (raw === '{' || raw === '}') this.#finish()
  }

  #finish(): void {
    if (this.#words.length === 0) return
    this.commands.push({ words: this.#words, starts: this.#starts, end: this.#at })
    this.#words = []
    this.#starts = []
  }
}

type Block = 'entry' | 'menu' | 'skipped'

class Reader {
  readonly entries: BootEntry[] = []
  defaultIndex = 0
  timeoutSeconds: number | undefined
  readonly #text: string
  readonly #blocks: Block[] = []
  #entry: OpenEntry | undefined

  constructor(text: string) {
    this.#text = text
  }

  read(command: Command): void {
    const [name = ''] = command.words
    const opens = command.words.at(-1) === '{'
    if (name === '}') this.#close()
    else if (opens) this.#open(command)
    else if (!this.#blocks.includes('skipped')) this.#run(command)
  }

  #open({ words: [name, title = ''] }: Command): void {
    const inside = this.#blocks.includes('skipped') || this.#entry !== undefined
    const block = inside ? 'skipped'
      : name === 'menuentry' ? 'entry' : name === 'submenu' ? 'menu' : 'skipped'
    if (block === 'entry') this.#entry = openEntry(title)
    this.#blocks.push(block)
  }

  #close(): void {
    if (this.#blocks.pop() !== 'entry' || !this.#entry) return
    this.entries.push(this.#entry)
    this.#entry = undefined
  }

  #run(command: Command): void {
    const [name = '', first = ''] = command.words
    const [, variable, value = ''] = name === 'set' ? /^(\w+)=(.*)$/s.exec(first) ?? [] : []
    if (this.#entry) obey(this.#entry, command, this.#text)
    else if (variable === 'default') this.defaultIndex = defaultIndexOf(value)
    else if (variable === 'timeout') this.timeoutSeconds = timeoutOf(value, this.timeoutSeconds)
  }
}

/** Does to an entry what a command in it says. */
function obey(entry: OpenEntry, { words, starts, end }: Command, text: string): void {
  const [name = '', first = '', ...rest] = words
  entry.lines.push(text.slice(starts[0], end).trim())
  if (/^linux(16|efi)?$/.test(name)) {
    entry.kernel = withoutDevice(first)
    const from = starts[2]
    entry.args = from === undefined ? '' : text.slice(from, end).trim()
  } else if (/^initrd(16|efi)?$/.test(name)) {
    entry.ramdisks = [first, ...rest].map(withoutDevice)
  }
}

function readEntry(title: string, lines: readonly string[]): BootEntry {
  const text = lines.join('\n')
  const entry = openEntry(title)
  for (const command of new Lexer(text).run()) obey(entry, command, text)
  return entry
}

export function parseGrub2(text: string): BootConfig {
  const reader = new Reader(text)
  for (const command of new Lexer(text).run()) reader.read(command)
  const { entries, defaultIndex, timeoutSeconds } = reader
  return {
    entries, defaultIndex, timeoutSeconds, isLocked: false, read: readEntry,
    argumentsLine: (lines) => lines.findIndex((line) => /^linux(16|efi)?\s/.test(line)),
  }
}
