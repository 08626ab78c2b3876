/**
 * The words of an xl.cfg: what libxlu's scanner makes of the text, errors included.
 *
 * Obeys xl.cfg(5), and where it is silent, real xl 4.17: names begin with a small letter, numbers
 * are decimal, octal or hexadecimal, strings take either quote and C's escapes, there is no line
 * continuation. What fits nowhere is a lexical error up to the next white space.
 */
export type TokenKind =
  | 'IDENT' | 'NUMBER' | 'STRING' | 'NEWLINE' | '$end' | '=' | '+=' | '[' | ']' | ',' | ';'
  | 'lexical error'

export interface Token {
  readonly kind: TokenKind
  /** As it stands in the source. */
  readonly text: string
  readonly line: number
}

const token = new RegExp([
  /(?<blank>[ \t]+)/,
  /(?<NEWLINE>(?:#[^\n]*)?\n)/,
  /(?<comment>#[^\n]*)/,
  /(?<IDENT>[a-z][._0-9a-z]*)/,
  /(?<NUMBER>[0-9][0-9a-fx]*)/,
  /(?<STRING>'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*")/,
  /(?<mark>\+=|[=[\],;])/,
  /(?<wrong>[^][^ \t\n]*)/,
].map((part) => part.source).join('|'), 'uy')

/** Characters that begin something which looks like a program in Python. */
const PYTHON = /^[-+.():]/

export class Lexer {
  /** Whether a lexical error suggests that the file was written for a Python toolstack. */
  likelyPython = false
  readonly #text: string
  #at = 0
  #line = 1
  #lastLine = 1

  constructor(text: string) {
    this.#text = text
  }

  next(): Token {
    for (;;) {
      if (this.#at >= this.#text.length) {
        return { kind: '$end', text: '', line: this.#lastLine }
      }
      token.lastIndex = this.#at
      const match = token.exec(this.#text)
      // Every character begins some word, so there is always a match.
      const groups = match?.groups
      const text = match?.[0] ?? this.#text.slice(this.#at)
      this.#at += text.length
      const line = this.#lastLine = this.#line
      if (groups?.['NEWLINE'] !== undefined) {
        this.#line++
        return { kind: 'NEWLINE', text, line }
      }
      if (groups?.['blank'] !== undefined || groups?.['comment'] !== undefined) continue
      const kind = groups && kindOf(groups)
      if (kind) return { kind, text, line }
      this.likelyPython ||= PYTHON.test(text)
      return { kind: 'lexical error', text, line }
    }
  }
}

function kindOf(groups: Readonly<Record<string, string | undefined>>): TokenKind | undefined {
  if (groups['mark'] !== undefined) return groups['mark'] as TokenKind
  if (groups['IDENT'] !== undefined) return 'IDENT'
  if (groups['NUMBER'] !== undefined) return 'NUMBER'
  if (groups['STRING'] !== undefined) return 'STRING'
  return undefined
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v',
  '\\': '\\', '?': '?', '\'': '\'', '"': '"',
}

/**
 * What a STRING token means, or what xl says against it. (Real xl 4.17 refuses every \x; here two
 * digits may follow, as the message suggests.)
 */
export function unquote(text: string): { value: string } | { problem: string } {
  let problem = ''
  const inside = text.slice(1, -1)
  const value = inside.replace(/\\(x[0-9a-fA-F]{2}|[0-7]{3}|.)/gsu, (_, escape: string) => {
    const plain = ESCAPES[escape]
    if (plain !== undefined) return plain
    if (/^x./.test(escape)) return String.fromCharCode(Number.parseInt(escape.slice(1), 16))
    if (/^[0-7]{3}/.test(escape)) return String.fromCharCode(Number.parseInt(escape, 8) & 0xff)
    const base = escape === 'x' ? 'hex' : /[0-7]/.test(escape) ? 'octal' : undefined
    problem ||= base
      ? `invalid digit after backslash ${base}numerical character escape in quoted string`
      : 'invalid character after backlash in quoted string'
    return ''
  })
  return problem ? { problem } : { value }
}
