/**
 * The parts of the house style that a program can see: line width, file headers, leftovers.
 */
import { readFileSync, globSync } from 'node:fs'

const COLUMNS = 100

function problemsOf(path: string): string[] {
  const problems: string[] = []
  const text = readFileSync(path, 'utf8')
  if (!text.startsWith('/**') && !text.startsWith('#!')) {
    problems.push(`${path}:1: a file begins with a comment that says what it is`)
  }
  text.split('\n').forEach((line, index) => {
    const at = `${path}:${index + 1}`
    if (line.length > COLUMNS) problems.push(`${at}: ${line.length} columns, ${COLUMNS} allowed`)
    if (/\b(TODO|FIXME|XXX)\b/.test(line)) problems.push(`${at}: what is missing is in CAVEATS.md`)
    if (/\s$/.test(line)) problems.push(`${at}: trailing white space`)
    if (/^\s*(export )?(enum|namespace) /.test(line)) problems.push(`${at}: erasable syntax only`)
  })
  return problems
}

export function checkStyle(): string[] {
  const files = globSync('{src,test,tools,bench,fuzz}/**/*.ts')
  return files.filter((path) => path !== 'tools/check/style.ts').flatMap(problemsOf)
}
