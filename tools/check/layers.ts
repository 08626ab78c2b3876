/**
 * Checks every import under src/ against the table in tools/layers.ts.
 */
import { readFileSync, globSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { layers } from '../layers.ts'

/** The longest row of the table that `path`, relative to src/, lies in. */
function layerOf(path: string): string | undefined {
  const parts = path.split('/')
  for (let length = parts.length - 1; length > 0; length--) {
    const name = parts.slice(0, length).join('/')
    if (name in layers) return name
  }
  return undefined
}

function problemOf(file: string, specifier: string, isTest: boolean): string | undefined {
  const own = layerOf(file)
  if (!own) return `src/${file}: not in a folder that tools/layers.ts names`
  const layer = layers[own]!
  if (specifier.startsWith('node:')) {
    if (layer.node || isTest) return undefined
    return `src/${file}: ${own} may not import ${specifier}`
  }
  if (!specifier.startsWith('.')) return undefined
  const target = layerOf(normalize(join(dirname(file), specifier)))
  if (!target || target === own || layer.imports.includes(target)) return undefined
  return `src/${file}: ${own} may not import from ${target}`
}

export function checkLayers(root: string): string[] {
  const problems: string[] = []
  for (const path of globSync(`${root}/**/*.ts`)) {
    const file = relative(root, path)
    const isTest = file.endsWith('.test.ts')
    const text = readFileSync(path, 'utf8')
    for (const match of text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g)) {
      const problem = problemOf(file, match[1]!, isTest)
      if (problem) problems.push(problem)
    }
  }
  return problems
}
