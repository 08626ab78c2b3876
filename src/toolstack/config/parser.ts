/**
 * The grammar of an xl.cfg: assignments of strings, numbers and nested lists to names.
 *
 * Does as libxlu's parser, which was made by bison: after an error it skips to the end of the line
 * and goes on, and it keeps silent about further errors until three words in a row were good. Only
 * what follows a whole assignment on its line ends the parse. So one slip gives one message, in the
 * words that xl's users know.
 */
import { Lexer, type Token, type TokenKind, unquote } from './lexer.ts'

export type Value =
  /** A string, or a number as it was written. */
  | { readonly kind: 'atom', readonly text: string }
  | { readonly kind: 'list', readonly items: readonly Value[] }

export interface Setting {
  readonly name: string
  readonly value: Value
  readonly line: number
}

/** Lines for standard error that end in failure. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  /** All that is to be printed, warnings before the failure included. */
  readonly lines: readonly string[]

  constructor(lines: readonly string[]) {
    super(lines.join('\n'))
    this.lines = lines
  }
}

export interface ParsedConfig {
  readonly settings: ReadonlyMap<string, Setting>
  readonly warnings: readonly string[]
}

const SILENCE = 3
/** Deeper lists than any option has. */
const DEEPEST = 64

/** Thrown and caught here: the statement is lost, or the rest of the text. */
class Recovery {
  readonly final: boolean

  constructor(final = false) {
    this.final = final
  }
}

/** Parses `text`; messages call it `source`. Throws ConfigError when it is not an xl.cfg. */
export function parseConfig(source: string, text: string): ParsedConfig {
  return new Parser(source, text).file()
}

class Parser {
  readonly #source: string
  readonly #lexer: Lexer
  readonly #settings = new Map<string, Setting>()
  readonly #errors: string[] = []
  readonly #warnings: string[] = []
  #token: Token
  /** How many good words are still needed before errors are reported again. */
  #silence = 0
  #lexicalErrorLine = 0

  constructor(source: string, text: string) {
    this.#source = source
    this.#lexer = new Lexer(text)
    this.#token = this.#read()
  }

  file(): ParsedConfig {
    while (this.#token.kind !== '$end') {
      try {
        this.#statement()
      } catch (error) {
        if (!(error instanceof Recovery)) throw error
        if (error.final) break
        this.#skipLine()
      }
    }
    if (this.#errors.length === 0) return { settings: this.#settings, warnings: this.#warnings }
    const python = this.#lexer.likelyPython ? [
      'warning: Config file looks like it contains Python code.',
      'warning:  Arbitrary Python is no longer supported.',
      'warning:  See https://wiki.xen.org/wiki/PythonInXlConfig',
    ] : []
    throw new ConfigError([
      ...this.#warnings, ...this.#errors, ...python, 'Failed to parse config: Invalid argument',
    ])
  }

  #statement(): void {
    const { kind } = this.#token
    if (kind === 'NEWLINE' || kind === ';') return this.#shift()
    const name = this.#take('$end or IDENT or NEWLINE or \';\'', 'IDENT')
    const operator = this.#take('+= or \'=\'', '=', '+=')
    const number = this.#token.kind === 'NUMBER'
    const value = this.#value('STRING or NUMBER or \'[\'', 0)
    this.#store(name, operator.kind, value.value, number, value.last)
    const after: TokenKind = this.#token.kind
    if (after === 'NEWLINE' || after === ';') return this.#shift()
    if (after !== '$end') {
      this.#unexpected('$end')
      throw new Recovery(true)
    }
  }

  /** A value, and the last word of it. */
  #value(expecting: string, depth: number): { value: Value, last: Token } {
    const token = this.#take(expecting, 'STRING', 'NUMBER', '[')
    if (token.kind === '[') return this.#list(depth)
    return { value: { kind: 'atom', text: this.#textOf(token) }, last: token }
  }

  #list(depth: number): { value: Value, last: Token } {
    if (depth === DEEPEST) {
      this.#report('memory exhausted')
      throw new Recovery()
    }
    const items: Value[] = []
    this.#skipNewlines()
    while (this.#token.kind !== ']') {
      items.push(this.#value('\']\'', depth + 1).value)
      this.#skipNewlines()
      if (this.#token.kind !== ',') break
      this.#shift()
      this.#skipNewlines()
    }
    const last = this.#take('\']\'', ']')
    return { value: { kind: 'list', items }, last }
  }

  #textOf(token: Token): string {
    if (token.kind === 'NUMBER') return token.text
    const result = unquote(token.text)
    if ('value' in result) return result.value
    this.#errors.push(this.#message(token, result.problem))
    return ''
  }

  #store(name: Token, operator: TokenKind, value: Value, number: boolean, last: Token): void {
    const old = this.#settings.get(name.text)?.value
    let stored = value
    if (operator === '+=') {
      if (number) {
        this.#warnings.push(`${this.#source}:${last.line}: warning: ` +
          `can't use += with numbers for parameter \`${name.text}'`)
        return
      }
      const sum = old ? joined(old, value) : value
      if (!sum) {
        const problem = 'can\'t add [list] to "string" or vice versa'
        this.#errors.push(this.#message(last, problem))
        return
      }
      stored = sum
    }
    this.#settings.set(name.text, { name: name.text, value: stored, line: last.line })
  }

  #skipNewlines(): void {
    while (this.#token.kind === 'NEWLINE') this.#shift()
  }

  #take(expecting: string, ...kinds: readonly TokenKind[]): Token {
    const token = this.#token
    if (!kinds.includes(token.kind)) this.#fail(expecting)
    this.#shift()
    return token
  }

  #shift(): void {
    if (this.#silence > 0) this.#silence--
    this.#token = this.#read()
  }

  /** The next word that fits somewhere; the others are reported and dropped. */
  #read(): Token {
    for (;;) {
      const token = this.#lexer.next()
      if (token.kind !== 'lexical error') return token
      this.#errors.push(this.#message(token, 'lexical error'))
      this.#lexicalErrorLine = token.line
    }
  }

  #fail(expecting: string): never {
    this.#unexpected(expecting)
    this.#silence = SILENCE
    throw new Recovery()
  }

  #unexpected(expecting: string): void {
    const { kind } = this.#token
    const mark = /^[a-z$+]/i.test(kind) ? kind : `'${kind}'`
    this.#report(`syntax error, unexpected ${mark}, expecting ${expecting}`)
  }

  /** Reports a problem with the current word, unless something before it has explained it. */
  #report(problem: string): void {
    const token = this.#token
    if (this.#silence > 0 || token.line === this.#lexicalErrorLine) return
    this.#errors.push(this.#message(token, problem))
  }

  #skipLine(): void {
    while (this.#token.kind !== 'NEWLINE' && this.#token.kind !== '$end') {
      this.#token = this.#read()
    }
    if (this.#token.kind === 'NEWLINE') this.#shift()
  }

  /** As xl words it; an error at a line's end is counted to the line before, as xl does. */
  #message(token: Token, problem: string): string {
    const atNewline = token.kind === 'NEWLINE'
    const text = atNewline ? token.text.slice(0, -1) : token.text
    const line = atNewline ? token.line - 1 : token.line
    const quoted = atNewline && !text ? '<newline>' : `\`${text}'`
    return `${this.#source}:${line}: config parsing error near ${quoted}: ${problem}`
  }
}

/** `old += more`, for two strings or two lists. */
function joined(old: Value, more: Value): Value | undefined {
  if (old.kind === 'atom' && more.kind === 'atom') {
    return { kind: 'atom', text: old.text + more.text }
  }
  if (old.kind === 'list' && more.kind === 'list') {
    return { kind: 'list', items: [...old.items, ...more.items] }
  }
  return undefined
}
