/**
 * The parts of the house style that a program can see: line width, file headers, leftovers, the
 * length of files and functions.
 *
 * Functions are found by their layout, not by a parser: a line that opens a body, and the line of
 * the same indentation that closes it.
 */
import { readFileSync, globSync } from 'node:fs'
import { problemsBeyond } from './limits.ts'

const COLUMNS = 100
const FILE_LINES = 400
const FUNCTION_LINES = 70

function problemsOf(path: string, lines: readonly string[]): string[] {
  const problems: string[] = []
  if (!/^(\/\*\*|#!)/.test(lines[0] ?? '')) {
    problems.push(`${path}:1: a file begins with a comment that says what it is`)
  }
  lines.forEach((line, index) => {
    const at = `${path}:${index + 1}`
    if (/\b(TODO|FIXME|XXX)\b/.test(line)) problems.push(`${at}: what is missing is in CAVEATS.md`)
    if (/\s$/.test(line)) problems.push(`${at}: trailing white space`)
    if (/^\s*(export )?(enum|namespace) /.test(line)) problems.push(`${at}: erasable syntax only`)
    if (/^\s*export \* from/.test(line)) problems.push(`${at}: no barrels`)
    if (/^\s*export default/.test(line)) problems.push(`${at}: named exports only`)
  })
  return problems
}

function wideLinesOf(path: string, lines: readonly string[]): string[] {
  return lines.map((line, index) => `${path}:${index + 1}: ${line.length} columns`)
    .filter((_, index) => lines[index]!.length > COLUMNS)
}

function indentationOf(line: string): number {
  return line.length - line.trimStart().length
}

/** Where the statement begins that the line `index` ends: the first line of its parameters. */
function headOf(lines: readonly string[], index: number): number {
  const line = lines[index]!
  if (!line.trimStart().startsWith(')')) return index
  for (let i = index - 1; i >= 0; i--) {
    if (lines[i] !== '' && indentationOf(lines[i]!) <= indentationOf(line)) return i
  }
  return index
}

const NO_FUNCTION = /^\s*(\}|if|for|while|switch|catch|try|do|else|class|interface|type|return)\b/
const FUNCTION = /\bfunction\b|^\s*(?:[a-z]+ )*[#\w]+(?:<.*)?\(/

function opensFunction(head: string, line: string): boolean {
  if (line.endsWith('=> {')) return !/^\s*describe\(/.test(head)
  return line.endsWith('{') && !NO_FUNCTION.test(head) && FUNCTION.test(head)
}

/** The functions of more than FUNCTION_LINES lines; `describe` only groups tests. */
export function longFunctionsOf(path: string, lines: readonly string[]): string[] {
  const found: string[] = []
  lines.forEach((line, index) => {
    const first = headOf(lines, index)
    if (!opensFunction(lines[first]!, line)) return
    const indentation = indentationOf(line)
    const last = lines.findIndex((other, i) =>
      i > index && other.trimStart().startsWith('}') && indentationOf(other) === indentation)
    const length = last - first + 1
    if (length > FUNCTION_LINES) {
      found.push(`${path}:${first + 1}: a function of ${length} lines, ${FUNCTION_LINES} allowed`)
    }
  })
  return found
}

export function checkStyle(): string[] {
  const files = globSync('{src,test,tools,bench,fuzz}/**/*.ts')
    .filter((path) => path !== 'tools/check/style.ts').sort()
  const problems: string[] = []
  const wideLines: string[] = []
  const longFiles: string[] = []
  const longFunctions: string[] = []
  for (const path of files) {
    const lines = readFileSync(path, 'utf8').split('\n')
    problems.push(...problemsOf(path, lines))
    wideLines.push(...wideLinesOf(path, lines))
    longFunctions.push(...longFunctionsOf(path, lines))
    const count = lines.length - 1
    if (count > FILE_LINES) longFiles.push(`${path}: ${count} lines, ${FILE_LINES} allowed`)
  }
  return [
    ...problems,
    ...problemsBeyond('wide lines', wideLines),
    ...problemsBeyond('long files', longFiles),
    ...problemsBeyond('long functions', longFunctions),
  ]
}
