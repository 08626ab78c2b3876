/**
 * Limits of the house style that are not met everywhere yet: how often each file breaks each, a
 * number that may only fall.
 *
 * limits.json holds the numbers. A check that finds fewer lowers them there by itself, so that the
 * next commit carries that; one that finds more in a file fails and names what it found there.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const FILE = 'tools/check/limits.json'

/** By limit, then by file. */
type Limits = Record<string, Record<string, number>>

/** The problems of one limit. `found` are the places that break it, each with its path first. */
export function problemsBeyond(name: string, found: readonly string[]): string[] {
  const limits = JSON.parse(readFileSync(FILE, 'utf8')) as Limits
  const allowed = limits[name] ?? {}
  const places = Map.groupBy(found, (place) => place.slice(0, place.indexOf(':')))
  const lowered: Record<string, number> = {}
  const problems: string[] = []
  for (const [path, list] of places) {
    const most = allowed[path] ?? 0
    if (list.length > most) problems.push(`${name}, of which ${path} may have ${most}:`, ...list)
    if (most > 0) lowered[path] = Math.min(most, list.length)
  }
  if (!process.env['CI'] && JSON.stringify(lowered) !== JSON.stringify(allowed)) {
    writeFileSync(FILE, `${JSON.stringify({ ...limits, [name]: lowered }, undefined, 2)}\n`)
  }
  return problems
}
