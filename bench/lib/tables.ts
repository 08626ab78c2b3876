/**
 * Results as Markdown: ratios first, then what was measured.
 */
import type { GuestResult, GuestResults } from '../guests/measure.ts'
import { withoutRate } from '../kernels/list.ts'
import type { KernelResult } from '../kernels/measure.ts'
import type { RowResult } from '../set/measure.ts'
import type { Memory } from './process.ts'
import type { Results, Setting } from './results.ts'
import type { RowTimes } from './row-times.ts'
import { geometricMean, ratiosOf, spreadOf, summaryOf } from './statistics.ts'

/** Where nothing was measured. */
export const NOTHING = '–'

function row(...cells: string[]): string {
  return `| ${cells.join(' | ')} |`
}

export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = heads.map((_, column) => column === 0 ? '---' : '---:')
  return [row(...heads), row(...rule), ...rows.map((cells) => row(...cells))].join('\n')
}

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1)
    : value >= 0.1 ? value.toFixed(2) : value.toFixed(4)
}

/** Median and spread of what was measured. */
export function measured(values: readonly number[], unit = ''): string {
  if (values.length === 0) return NOTHING
  const summary = summaryOf(values)
  if (values.length === 1) return `${digits(summary.median)}${unit}`
  return `${digits(summary.median)}${unit} ±${spreadOf(summary).toFixed(0)} %`
}

/** Median, least and most of what the rounds had. */
export function ratio(above: readonly number[] | undefined, below: readonly number[] | undefined):
  string {
  // Where a row failed in some round, its times belong to no common rounds.
  if (!above?.length || above.length !== below?.length) return NOTHING
  const { median, least, most } = ratiosOf(above, below)
  if (above.length === 1) return digits(median)
  return `${digits(median)} (${digits(least)}–${digits(most)})`
}

type Pick = (kernel: KernelResult) => readonly number[]

function mean(kernels: readonly KernelResult[], above: Pick, below: Pick): string {
  const known = kernels.filter((kernel) => above(kernel).length > 0 && below(kernel).length > 0)
  if (known.length === 0) return NOTHING
  return digits(geometricMean(
    known.map((kernel) => ratiosOf(above(kernel), below(kernel)).median)))
}

function rateOf({ name, instructions, ours }: KernelResult): string {
  return withoutRate.has(name) ? NOTHING
    : (instructions / 1e6 / summaryOf(ours).median).toFixed(0)
}

function kernelTable(kernels: readonly KernelResult[]): string {
  const native: Pick = (kernel) => kernel.native
  const qemu: Pick = (kernel) => kernel.qemu
  const ours: Pick = (kernel) => kernel.ours
  const rows = kernels.map((kernel) => [
    `\`${kernel.name}\`: ${kernel.what}`, ratio(kernel.ours, kernel.qemu),
    ratio(kernel.ours, kernel.native), ratio(kernel.qemu, kernel.native), rateOf(kernel),
    measured(kernel.ours), measured(kernel.qemu), measured(kernel.native),
  ])
  const means = ['**geometric mean**', mean(kernels, ours, qemu), mean(kernels, ours, native),
    mean(kernels, qemu, native), '', '', '', '']
  return table(['kernel', 'ours / QEMU', 'ours / native', 'QEMU / native', 'our MIPS',
    'ours, CPU s', 'QEMU, CPU s', 'native, CPU s'], [...rows, means])
}

/** What is set against what, among the systems that ran. */
function pairsOf(systems: readonly string[]): [string, string][] {
  const known = ['ours', 'QEMU', 'QEMU max', 'native']
  const variants = systems.filter((name) => !known.includes(name))
  return ([
    ['ours', 'QEMU'], ['ours', 'QEMU max'], ['ours', 'native'],
    ...variants.flatMap((name) => [[name, 'ours'], [name, 'QEMU']]), ['QEMU', 'native'],
  ] as [string, string][]).filter((pair) => pair.every((name) => systems.includes(name)))
}

function namesOf(pairs: readonly [string, string][]): string[] {
  return pairs.map(([above, below]) => `${above} / ${below}`)
}

/** The mean over rows that both ran. */
function rowMean(rows: readonly RowResult[], [above, below]: [string, string]): string {
  const medians = rows.flatMap(({ again }) => {
    const [one, other] = [again[above], again[below]]
    return one?.length && one.length === other?.length ? [ratiosOf(one, other).median] : []
  })
  return medians.length === 0 ? NOTHING : digits(geometricMean(medians))
}

/** The geometric means of groups, then the rows of each. */
function setTables({ rows, systems: guests }: GuestResults): string[] {
  const groups = [...new Set(rows.map(({ group }) => group))]
  const systems = [...guests.map(({ system }) => system), 'native']
    .filter((name) => rows.some(({ again }) => again[name]))
  const pairs = pairsOf(systems)
  const rowsOf = (group: string): RowResult[] => rows.filter((one) => one.group === group)
  const means = (of: readonly RowResult[]): string[] => pairs.map((pair) => rowMean(of, pair))
  return [
    table(['geometric mean', 'rows', ...namesOf(pairs)], [
      ...groups.map((group) =>
        [group, String(rowsOf(group).length), ...means(rowsOf(group))]),
      ['**all**', String(rows.length), ...means(rows)],
    ]),
    ...groups.map((group) => table(
      [group, ...namesOf(pairs), ...systems.map((name) => `${name}, CPU s`)],
      rowsOf(group).map(({ name, what, again }) => [
        `\`${name}\`: ${what}`,
        ...pairs.map(([above, below]) => ratio(again[above], again[below])),
        ...systems.map((system) => measured(again[system] ?? [])),
      ]))),
  ]
}

/** A row for what `pick` gives of each system. */
function bootRow(
  name: string, systems: readonly GuestResult[], pick: (result: GuestResult) => readonly number[],
): string[] {
  // There is no warm QEMU; what it is compared with is its only kind of boot.
  const of = (wanted: string): readonly number[] => {
    const found = systems.find(({ system }) => system === wanted)
    return !found ? [] : pick(found)
  }
  return [name, ...pairsOf(systems.map(({ system }) => system))
    .map(([above, below]) => ratio(of(above), of(below))),
  ...systems.map(({ system }) => measured(of(system)))]
}

function bootTable({ systems, bootInstructions }: GuestResults): string {
  const orCold = (warm: readonly number[], cold: readonly number[]): readonly number[] =>
    warm.length > 0 ? warm : cold
  const rows = [
    bootRow('cold, CPU s', systems, (result) => result.coldCpu),
    bootRow('cold, wall s', systems, (result) => result.coldWall),
    bootRow('warm, CPU s', systems, ({ warmCpu, coldCpu }) => orCold(warmCpu, coldCpu)),
    bootRow('warm, wall s', systems, ({ warmWall, coldWall }) => orCold(warmWall, coldWall)),
  ]
  const names = systems.map(({ system }) => system)
  const text = table(['boot to the shell', ...namesOf(pairsOf(names)), ...names], rows)
  const cold = systems.find(({ system }) => system === 'ours')?.coldCpu
  if (!cold?.length || bootInstructions === undefined) return text
  const rate = bootInstructions / 1e6 / summaryOf(cold).median
  return `${text}\n\nA boot is ${(bootInstructions / 1e6).toFixed(0)} million guest instructions: `
    + `${rate.toFixed(0)} MIPS over all of its CPU time, start of the host process included.`
}

function memoryRows(name: string, memory: readonly Memory[]): string[][] {
  if (memory.length === 0) return []
  const median = (pick: (one: Memory) => number): string =>
    summaryOf(memory.map(pick)).median.toFixed(0)
  return [[
    name, median(({ rss, guest }) => rss - guest), median(({ pss, guest }) => pss - guest),
    median(({ rss }) => rss), median(({ pss }) => pss), median(({ guest }) => guest),
  ]]
}

function memoryTable({ systems, withoutGuests }: GuestResults): string {
  return table(
    ['MiB', 'beyond the guest, RSS', 'beyond the guest, PSS', 'RSS', 'PSS', 'guest touched'],
    [
      ...memoryRows('ours, no guest', withoutGuests),
      ...systems.flatMap(({ system, memory }) => memoryRows(`${system}, at the shell`, memory)),
      ...systems.flatMap(({ system, memoryAfter }) =>
        memoryRows(`${system}, after the rows`, memoryAfter)),
    ])
}

function guestParts(guests: GuestResults): string[] {
  const { systems, rows, failures } = guests
  const booted = systems.some(({ coldCpu }) => coldCpu.length > 0)
  const remembered = systems.some(({ memory, memoryAfter }) =>
    memory.length + memoryAfter.length > 0)
  return [
    ...failures.map((failure) => `**Failure:** ${failure.replaceAll('\n', ' ')}`),
    ...booted ? ['### Boot of Debian\'s cloud kernel', bootTable(guests)] : [],
    ...remembered ? ['### Memory', memoryTable(guests)] : [],
    ...rows.length > 0 ? ['### Guest benchmark set', ...setTables(guests)] : [],
  ]
}

/** What was moved, and the seconds that it took by system. */
export interface TimedRow {
  readonly labels: readonly string[]
  readonly times: RowTimes
  speed(seconds: readonly number[]): string
}

/** Ratios of all systems to QEMU, then speeds, those of the first time, then CPU time; `heads` are
 * those of the labels. */
export function ratioTable(
  rows: readonly TimedRow[], heads: readonly string[], names: readonly string[],
): string {
  const others = names.filter((name) => name !== 'QEMU')
  return table([
    ...heads,
    ...others.flatMap((name) => [`${name} / QEMU, CPU time`, `${name} / QEMU, wall time`]),
    ...names, ...names.map((name) => `${name}, first`), ...names.map((name) => `${name}, CPU s`),
  ], rows.map(({ labels, times: { first, cpu, wall }, speed }) => [
    ...labels,
    ...others.flatMap((name) => [cpu, wall].map((times) => ratio(times[name], times['QEMU']))),
    ...[wall, first].flatMap((times) => names.map((name) => speed(times[name]!))),
    ...names.map((name) => summaryOf(cpu[name]!).median.toFixed(2)),
  ]))
}

export function settingText(setting: Setting): string {
  const parts = [
    `${setting.date}, commit ${setting.commit}`,
    `${setting.cpu}, ${setting.cores} cores, ${setting.memoryGib} GiB, ${setting.os}, load `
    + `${setting.load.join(' to ')}`,
    `Node ${setting.node}`, setting.qemu, setting.gcc,
    setting.guestKernel && `guest ${setting.guestKernel}`,
  ]
  return parts.filter((part) => part !== undefined && part !== '').join('; ')
}

export function textOf({ setting, kernels, guests }: Results): string {
  const parts = [`${settingText(setting)}.`]
  if (kernels?.length) parts.push('### Kernels', kernelTable(kernels))
  if (guests) parts.push(...guestParts(guests))
  return `${parts.join('\n\n')}\n`
}
