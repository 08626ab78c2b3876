/**
 * The page of results, docs/benchmarks.md: each command's tables stand between marks of its own.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './guest.ts'

/** Puts the text between the marks of `command`. */
export function publish(command: string, text: string): void {
  const path = join(root, 'docs/benchmarks.md')
  const [begin, end] = ['begin', 'end'].map((place) => `<!-- tables of ${command} ${place} -->`)
  const [head, rest] = readFileSync(path, 'utf8').split(begin!)
  const tail = rest?.split(end!)[1]
  if (tail === undefined) throw new Error(`${path} has no marks for the tables of ${command}`)
  writeFileSync(path, `${head}${begin}\n\n${text.trimEnd()}\n\n${end}${tail}`)
}
