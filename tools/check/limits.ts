/**
 * Limits of the house style that are not met everywhere yet: how often each file breaks each, a
 * number that may only fall.
 *
 * limits.json holds the numbers. `npm run check` lowers them where it finds fewer, so that the next
 * commit carries that; where it finds more in a file it fails and names what it found there.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const FILE = 'tools/check/limits.json'

/** By limit, then by file. */
type Limits = Record<string, Record<string, number>>

/** The limits as they may be from now on. */
const now: Limits = {}

/** The problems of one limit. `found` are the places that break it, each with its path first. */
export function problemsBeyond(name: string, found: readonly string[]): string[] {
  const limits = JSON.parse(readFileSync(FILE, 'utf8')) as Limits
  const places = Map.groupBy(found, (place) => place.slice(0, place.indexOf(':')))
  const lowered: Record<string, number> = {}
  const problems: string[] = []
  for (const [path, list] of places) {
    const most = limits[name]?.[path] ?? 0
    if (list.length > most) problems.push(`${name}, of which ${path} may have ${most}:`, ...list)
    if (most > 0) lowered[path] = Math.min(most, list.length)
  }
  now[name] = lowered
  return problems
}

/** Writes down what was found to be fewer. */
export function lowerLimits(): void {
  const before = readFileSync(FILE, 'utf8')
  const limits = { ...JSON.parse(before) as Limits, ...now }
  const after = `${JSON.stringify(limits, undefined, 2)}\n`
  if (after !== before) writeFileSync(FILE, after)
}
