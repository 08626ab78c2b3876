/**
 * Limits of the house style that are not met everywhere yet: how often each is broken, a number
 * that may only fall.
 *
 * limits.json holds the numbers. A check that finds fewer lowers its number there by itself, so
 * that the next commit carries it; one that finds more fails and names what it found.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const FILE = 'tools/check/limits.json'

type Limits = Record<string, number>

/** The problems of one limit: `found` names each place that breaks it. */
export function problemsBeyond(name: string, found: readonly string[]): string[] {
  const limits = JSON.parse(readFileSync(FILE, 'utf8')) as Limits
  const allowed = limits[name] ?? 0
  if (found.length < allowed && !process.env['CI']) {
    writeFileSync(FILE, `${JSON.stringify({ ...limits, [name]: found.length }, undefined, 2)}\n`)
  }
  if (found.length <= allowed) return []
  return [`${name}: ${found.length}, and no more than ${allowed} may be:`, ...found]
}
