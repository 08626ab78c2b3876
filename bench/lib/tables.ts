/**
 * Results as Markdown: ratios first, then what was measured.
 */
import { commands, type GuestResult, type GuestResults } from '../guests/measure.ts'
import { withoutRate } from '../kernels/list.ts'
import type { KernelResult } from '../kernels/measure.ts'
import type { Memory } from './process.ts'
import type { Results, Setting } from './results.ts'
import { geometricMean, ratiosOf, spreadOf, summaryOf } from './statistics.ts'

const NOTHING = '–'

function row(...cells: string[]): string {
  return `| ${cells.join(' | ')} |`
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = heads.map((_, column) => column === 0 ? '---' : '---:')
  return [row(...heads), row(...rule), ...rows.map((cells) => row(...cells))].join('\n')
}

function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1)
    : value >= 0.1 ? value.toFixed(2) : value.toFixed(4)
}

/** Median and spread of what was measured. */
function measured(values: readonly number[], unit = ''): string {
  if (values.length === 0) return NOTHING
  const summary = summaryOf(values)
  if (values.length === 1) return `${digits(summary.median)}${unit}`
  return `${digits(summary.median)}${unit} ±${spreadOf(summary).toFixed(0)} %`
}

function ratio(above: readonly number[] | undefined, below: readonly number[] | undefined):
  string {
  if (!above?.length || !below?.length) return NOTHING
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

/** A row for what `pick` gives of each system. */
function guestRow(
  name: string, systems: readonly GuestResult[], pick: (result: GuestResult) => readonly number[],
): string[] {
  const of = (system: string): readonly number[] => {
    const found = systems.find((result) => result.system === system)
    return found ? pick(found) : []
  }
  return [name, ratio(of('ours'), of('qemu')), ratio(of('ours'), of('qemu max')),
    measured(of('ours')), measured(of('qemu')), measured(of('qemu max'))]
}

function guestTable({ systems, bootInstructions }: GuestResults): string {
  const rows = [
    guestRow('boot to the shell, CPU s', systems, (result) => result.bootCpu),
    guestRow('boot to the shell, wall s', systems, (result) => result.bootWall),
    ...Object.keys(commands).map((name) => guestRow(`\`${name}\`, CPU s`, systems,
      (result) => result.commands[name as keyof typeof commands])),
  ]
  const ours = systems.find((result) => result.system === 'ours')
  const text = table(['', 'ours / QEMU', 'ours / QEMU max', 'ours', 'QEMU', 'QEMU max'],
    rows.filter((cells) => cells.slice(3).some((cell) => cell !== NOTHING)))
  if (!ours?.bootCpu.length) return text
  const rate = bootInstructions / 1e6 / summaryOf(ours.bootCpu).median
  return `${text}\n\nA boot is ${(bootInstructions / 1e6).toFixed(0)} million guest instructions: `
    + `${rate.toFixed(0)} MIPS over all of its CPU time, start of the host process included.`
}

function memoryRow(name: string, memory: readonly Memory[]): string[] {
  const median = (pick: (one: Memory) => number): string =>
    summaryOf(memory.map(pick)).median.toFixed(0)
  return [name, median(({ rss, guest }) => rss - guest), median(({ pss, guest }) => pss - guest),
    median(({ rss }) => rss), median(({ pss }) => pss), median(({ guest }) => guest)]
}

function memoryTable({ systems, withoutGuests }: GuestResults): string {
  const names = { 'ours': 'ours, one guest', 'qemu': 'QEMU', 'qemu max': 'QEMU max' } as const
  return table(
    ['MiB', 'beyond the guest, RSS', 'beyond the guest, PSS', 'RSS', 'PSS', 'guest touched'],
    [
      ...withoutGuests.length > 0 ? [memoryRow('ours, no guest', withoutGuests)] : [],
      ...systems.filter(({ memory }) => memory.length > 0)
        .map(({ system, memory }) => memoryRow(names[system], memory)),
    ])
}

function settingText(setting: Setting): string {
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
  if (guests) {
    parts.push('### Debian\'s cloud kernel and its shell', guestTable(guests),
      '### Memory at the shell', memoryTable(guests))
  }
  return `${parts.join('\n\n')}\n`
}
