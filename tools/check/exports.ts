/**
 * Dead code that a program can see: names exported to nobody, and files that nobody imports.
 *
 * src/abi is exempt: it is a table of facts, and whole headers are described, not what is used. So
 * are types, which are exported for the signatures that they are part of.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { problemsBeyond } from './limits.ts'

const EXPORT = /^export (?:async )?(?:const|function|class) (\w+)/gm
const IMPORT = /(?:\bfrom|\bimport|new URL\()\s*\(?\s*'([^']+\.ts)'/g
const WORD = /\w+/g

/** Started by name, or by the test runner. */
function isEntry(path: string): boolean {
  return !path.startsWith('src/') || path.startsWith('src/bin/') || path.endsWith('.test.ts')
}

export function checkExports(): string[] {
  const files = globSync('{src,test,tools,bench,fuzz}/**/*.ts').sort()
  const texts = new Map(files.map((path) => [path, readFileSync(path, 'utf8')]))
  const users = new Map<string, number>()
  const imported = new Set<string>()
  for (const [path, text] of texts) {
    for (const word of new Set(text.match(WORD))) users.set(word, (users.get(word) ?? 0) + 1)
    for (const [, specifier] of text.matchAll(IMPORT)) {
      imported.add(normalize(join(dirname(path), specifier!)))
    }
  }
  const idle: string[] = []
  for (const [path, text] of texts) {
    if (path.startsWith('src/abi/')) continue
    for (const [, name] of text.matchAll(EXPORT)) {
      if (users.get(name!) === 1) idle.push(`${path}: ${name} is exported and used nowhere else`)
    }
  }
  const dead = files.filter((path) => !isEntry(path) && !imported.has(path))
  return [
    ...problemsBeyond('dead files', dead.map((path) => `${path}: nobody imports it`)),
    ...problemsBeyond('idle exports', idle),
  ]
}
