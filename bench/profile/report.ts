/**
 * A profile as text.
 */
import type { Counts, Tally } from './counts.ts'
import type { Symbols } from './symbols.ts'

const percent = (part: number, whole: number): string =>
  `${(whole > 0 ? part / whole * 100 : 0).toFixed(1)} %`.padStart(8)

function tallies(
  title: string, table: Readonly<Record<string, Tally>>, limit: number, whole: number,
): string[] {
  const entries = Object.entries(table).filter(([, { count }]) => count > 0)
    .sort(([, a], [, b]) => b.ms - a.ms || b.count - a.count)
  const lines = entries.slice(0, limit).map(([name, { count, ms }]) =>
    `${String(Math.round(count)).padStart(12)}${percent(count, whole)}${
      ms > 0 ? `${ms.toFixed(0).padStart(8)} ms` : ''}  ${name}`)
  const rest = entries.length - lines.length
  const counted = entries.reduce((sum, [, { count }]) => sum + count, 0)
  return ['', `${title} (${counted} in all; share of instructions)`, ...lines,
    ...rest > 0 ? [`  and ${rest} more`] : []]
}

function functionsOf(counts: Counts, symbols: Symbols): Map<string, number> {
  const names = new Map<string, number>()
  for (const [rip, count] of Object.entries(counts.samples)) {
    const name = rip === 'user' ? '(user)' : symbols.nameOf(BigInt(`0x${rip}`))
    names.set(name, (names.get(name) ?? 0) + count)
  }
  return names
}

function histogram(counts: Counts, symbols: Symbols, limit: number): string[] {
  const names = [...functionsOf(counts, symbols)].sort(([, a], [, b]) => b - a)
  const all = names.reduce((sum, [, count]) => sum + count, 0)
  return ['', `Guest functions (${all} samples)`, ...names.slice(0, limit).map(([name, count]) =>
    `${String(count).padStart(12)}${percent(count, all)}  ${name}`)]
}

export function reportOf(counts: Counts, symbols: Symbols, limit: number): string {
  const { instructions, cpuMs, runMs } = counts
  const engineMs = runMs - Object.values(counts.upcalls).reduce((sum, { ms }) => sum + ms, 0)
  const outside = Object.values(counts.handlers).reduce((sum, { count }) => sum + count, 0)
  return [
    `${(instructions / 1e6).toFixed(1)} million guest instructions in `
    + `${(cpuMs / 1000).toFixed(2)} s of the core's CPU time (with this instrumentation): `
    + `${(instructions / cpuMs / 1000).toFixed(1)} MIPS`,
    `Host time: ${runMs.toFixed(0)} ms running guests, of which ${engineMs.toFixed(0)} ms in the`
    + ' engine and the rest in TypeScript it calls; '
    + `${percent(outside, instructions).trim()} of instructions by handlers outside the loop`,
    ...tallies('TypeScript called by the engine', counts.upcalls, limit, instructions),
    ...tallies('Services', counts.services, limit, instructions),
    ...tallies('Exits', counts.exits, limit, instructions),
    ...tallies('Calls of engine functions (walk: TLB misses that walk page tables)',
      counts.engine, limit, instructions),
    ...histogram(counts, symbols, limit),
    ...tallies('Handlers outside the loop', counts.handlers, limit * 3, instructions),
    '',
  ].join('\n')
}
