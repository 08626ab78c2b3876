/**
 * Options as getopt_long reads them: short ones in groups, arguments and options in any order.
 */

/** An option; `letter` and `name` are two spellings of one, told apart by `key`. */
export interface Option {
  readonly key: string
  readonly letter?: string
  readonly name?: string
  /** Takes a value: the rest of its word, or the next. */
  readonly value?: boolean
}

export interface Parsed {
  readonly options: ReadonlyMap<string, string>
  readonly operands: readonly string[]
}

export type ParseOutcome = Parsed | { readonly unknown: string }

/**
 * Reads `words`. With `firstOnly`, options end at the first operand, which begins what is left.
 * Behind an operand, a negative number is one, too.
 */
export function getopt(
  words: readonly string[], known: readonly Option[], firstOnly = false,
): ParseOutcome {
  const options = new Map<string, string>()
  const operands: string[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ''
    if (word === '--') {
      operands.push(...words.slice(i + 1))
      break
    }
    if (word === '-' || !word.startsWith('-') || operands.length > 0 && /^-\d/.test(word)) {
      if (firstOnly) return { options, operands: words.slice(i) }
      operands.push(word)
    } else if (word.startsWith('--')) {
      const [name = '', ...rest] = word.slice(2).split('=')
      const option = longOption(name, known)
      if (!option) return { unknown: word }
      const hasValue = rest.length > 0 || option.value === true && i + 1 < words.length
      if (hasValue !== (option.value === true)) return { unknown: option.letter ?? word }
      if (rest.length > 0) options.set(option.key, rest.join('='))
      else options.set(option.key, option.value ? words[++i] ?? '' : '')
    } else {
      const taken = readGroup(word.slice(1), words[i + 1], known, options)
      if (typeof taken === 'string') return { unknown: taken }
      i += taken
    }
  }
  return { options, operands }
}

/** An option by its long name or a beginning of it that fits only one. */
function longOption(name: string, known: readonly Option[]): Option | undefined {
  const exact = known.find((option) => option.name === name)
  if (exact) return exact
  const fitting = known.filter((option) => option.name?.startsWith(name))
  return fitting.length === 1 ? fitting[0] : undefined
}

/** Reads letters; how many further words they took, or the letter that is unknown. */
function readGroup(
  letters: string, next: string | undefined, known: readonly Option[],
  options: Map<string, string>,
): 0 | 1 | string {
  for (let i = 0; i < letters.length; i++) {
    const letter = letters[i] ?? ''
    const option = known.find((one) => one.letter === letter)
    if (!option) return letter
    if (!option.value) {
      options.set(option.key, '')
      continue
    }
    const rest = letters.slice(i + 1)
    if (rest !== '') {
      options.set(option.key, rest)
      return 0
    }
    if (next === undefined) return letter
    options.set(option.key, next)
    return 1
  }
  return 0
}
