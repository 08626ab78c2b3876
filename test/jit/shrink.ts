/**
 * Makes random programs that fail as small as it goes.
 */
import { makeProgram } from './program.ts'

export interface Failure {
  readonly seed: number
  /** Units that do not matter. */
  readonly without: ReadonlySet<number>
  readonly report: string
}

/** Leaves out units of the program of a seed as long as `failing` says how it fails without. */
export function shrink(
  seed: number, found: string,
  failing: (without: ReadonlySet<number>) => string | undefined, isNative = false,
): Failure {
  const without = new Set<number>()
  const { units } = makeProgram(seed, without, isNative)
  let report = found
  for (let again = true; again;) {
    again = false
    for (let size = units >> 1 || 1; size >= 1; size >>= 1) {
      for (let at = 0; at < units; at += size) {
        const more = new Set(without)
        for (let unit = at; unit < Math.min(at + size, units); unit++) more.add(unit)
        const next = more.size === without.size ? undefined : failing(more)
        if (!next) continue
        report = next
        for (const unit of more) without.add(unit)
        again = true
      }
    }
  }
  return { seed, without, report: `${report}\n${makeProgram(seed, without, isNative).text()}` }
}
