/**
 * An xl.cfg's settings with types: strings, numbers and lists, asked for by name.
 *
 * A value of the wrong type is a warning and counts as absent, as in libxlu. Which names were never
 * asked for is remembered, to tell the user of keys that nobody knows.
 */
import type { ParsedConfig, Setting, Value } from './parser.ts'

const LONG_MAX = 2n ** 63n - 1n
const LONG_MIN = -(2n ** 63n)

export class Settings {
  /** What is to be printed on standard error, in order. */
  readonly messages: string[]
  /** What messages call the text. */
  readonly source: string
  readonly #settings: ReadonlyMap<string, Setting>

  constructor(source: string, parsed: ParsedConfig) {
    this.source = source
    this.#settings = parsed.settings
    this.messages = [...parsed.warnings]
  }

  has(name: string): boolean {
    return this.#settings.has(name)
  }

  valueOf(name: string): Value | undefined {
    return this.#settings.get(name)?.value
  }

  /** A part of a setting that should be a list. */
  warnNoList(name: string): void {
    const line = this.#settings.get(name)?.line ?? 0
    this.messages.push(`${this.source}:${line}:0: warning: value is not a list`)
  }

  string(name: string): string | undefined {
    const setting = this.#settings.get(name)
    if (!setting) return undefined
    if (setting.value.kind === 'atom') return setting.value.text
    this.warn(setting, `parameter \`${name}' is a list but should be a single value`)
    return undefined
  }

  list(name: string): readonly Value[] | undefined {
    const setting = this.#settings.get(name)
    if (!setting) return undefined
    if (setting.value.kind === 'list') return setting.value.items
    this.warn(setting, `parameter \`${name}' is a single value but should be a list`)
    return undefined
  }

  /** A number as C's strtol with base 0 reads it. */
  number(name: string): number | undefined {
    const text = this.string(name)
    if (text === undefined) return undefined
    const setting = this.#settings.get(name)!
    const value = longOf(text)
    if (value === undefined) {
      this.warn(setting, `parameter \`${name}' is not a valid number`)
      return undefined
    }
    if (value > LONG_MAX || value < LONG_MIN) {
      this.warn(setting,
        `parameter \`${name}' could not be parsed as a number: Numerical result out of range`)
      return undefined
    }
    return Number(value)
  }

  /** A number of which only zero or not matters. */
  flag(name: string): boolean | undefined {
    const value = this.number(name)
    return value === undefined ? undefined : value !== 0
  }

  all(): Iterable<Setting> {
    return this.#settings.values()
  }

  warn(setting: Setting, what: string): void {
    this.messages.push(`${this.source}:${setting.line}: warning: ${what}`)
  }
}

/** The whole of `text` as an integer: white space, sign, then decimal, 0x or octal. */
function longOf(text: string): bigint | undefined {
  const match = /^[ \t\n\v\f\r]*([-+]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))$/.exec(text)
  if (!match) return undefined
  const [, sign, hex, octal, decimal] = match
  const digits = hex !== undefined ? `0x${hex}`
    : octal !== undefined ? `0o${octal.slice(1) || '0'}` : decimal!
  const value = BigInt(digits)
  return sign === '-' ? -value : value
}
