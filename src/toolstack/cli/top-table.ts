/**
 * What xentop shows: its columns, their order, and the lines of devices and VCPUs, as xentop 4.17
 * prints them.
 */
import { SHUTDOWN_crash } from '../../abi/xen/sched.ts'
import type { NetCounters } from '../../backends/net/device.ts'
import type { DiskCounters, DomainSummary, HostInfo, VcpuSummary } from '../domain/libxl.ts'

/** The machine at one moment. */
export interface TopSample {
  readonly at: Date
  readonly host: HostInfo
  readonly domains: readonly TopDomain[]
}

export interface TopDomain {
  readonly summary: DomainSummary
  readonly vcpus: readonly VcpuSummary[]
}

/** A domain with what is derived from this sample and the one before. */
interface TopRow extends TopDomain {
  readonly cpuPercent: number
  readonly totalKib: number
}

export interface TopWishes {
  readonly fullNames: boolean
  readonly networks: boolean
  readonly disks: boolean
  readonly vcpus: boolean
  readonly repeatHeader: boolean
  /** An index into the columns. */
  readonly sortBy: number
}

/** A line and what it is, which decides how it stands out at a terminal. */
export interface TopLine {
  readonly text: string
  readonly kind: 'header' | 'domain' | 'detail'
}

interface Column {
  readonly title: string
  readonly width: number
  cell(row: TopRow): string
  compare(a: TopRow, b: TopRow): number
}

const PAGE_KIB = 4
const NAME_WIDTH = 10
/** What a domain without a limit may have, in pages. */
const NO_LIMIT_KIB = 0xffff_ffff * PAGE_KIB

type States = readonly (readonly [string, (domain: DomainSummary) => boolean])[]

const crashed = (domain: DomainSummary): boolean =>
  domain.shutdown && domain.shutdownReason === SHUTDOWN_crash

/** The letters of a state; domains are sorted by the first that is theirs. */
const STATES: States = [
  ['d', (domain) => domain.dying],
  ['s', (domain) => domain.shutdown && !crashed(domain)],
  ['b', (domain) => domain.blocked],
  ['c', crashed],
  ['p', (domain) => domain.paused],
  ['r', (domain) => domain.running],
]

function nameOf({ summary }: TopRow): string {
  return summary.name ?? ''
}

function rank({ summary }: TopRow): number {
  const index = STATES.findIndex(([, holds]) => holds(summary))
  return index < 0 ? STATES.length : index
}

/** A column of numbers, the largest first. */
function numbers(
  title: string, width: number, value: (row: TopRow) => number,
  show: (value: number, row: TopRow) => string = (number) => `${Math.floor(number)}`,
): Column {
  return {
    title, width,
    cell: (row) => show(value(row), row),
    compare: (a, b) => value(b) - value(a),
  }
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}

const share = (number: number): string => number.toFixed(1)
const ofNetworks = (value: (counters: NetCounters) => number) => ({ summary }: TopRow) =>
  sum(summary.networks, value)
const ofDisks = (value: (counters: DiskCounters) => number) => ({ summary }: TopRow) =>
  sum(summary.disks, value)

const columns: readonly Column[] = [
  {
    title: 'NAME', width: NAME_WIDTH, cell: nameOf,
    compare: (a, b) => {
      const [one, other] = [nameOf(a).toLowerCase(), nameOf(b).toLowerCase()]
      return one < other ? -1 : one > other ? 1 : 0
    },
  },
  {
    title: 'STATE', width: 6,
    cell: ({ summary }) => STATES.map(([letter, holds]) => holds(summary) ? letter : '-').join(''),
    compare: (a, b) => rank(a) - rank(b),
  },
  numbers('CPU(sec)', 10, ({ summary }) => summary.cpuTimeNs / 1e9),
  numbers('CPU(%)', 6, ({ cpuPercent }) => cpuPercent, share),
  numbers('MEM(k)', 10, ({ summary }) => summary.memoryKib),
  numbers('MEM(%)', 6, ({ summary, totalKib }) => summary.memoryKib / totalKib * 100, share),
  numbers('MAXMEM(k)', 10, ({ summary }) => summary.maxMemoryKib,
    (kib) => kib === NO_LIMIT_KIB ? 'no limit' : `${kib}`),
  numbers('MAXMEM(%)', 9, ({ summary, totalKib }) => summary.maxMemoryKib / totalKib * 100,
    (percent, { summary }) => summary.maxMemoryKib === NO_LIMIT_KIB ? 'n/a' : share(percent)),
  numbers('VCPUS', 5, ({ vcpus }) => vcpus.length),
  numbers('NETS', 4, ({ summary }) => summary.networks.length),
  numbers('NETTX(k)', 8, ofNetworks(({ txBytes }) => txBytes / 1024)),
  numbers('NETRX(k)', 8, ofNetworks(({ rxBytes }) => rxBytes / 1024)),
  numbers('VBDS', 4, ({ summary }) => summary.disks.length),
  numbers('VBD_OO', 8, ofDisks(({ outOfRequests }) => outOfRequests)),
  numbers('VBD_RD', 8, ofDisks(({ reads }) => reads)),
  numbers('VBD_WR', 8, ofDisks(({ writes }) => writes)),
  numbers('VBD_RSECT', 10, ofDisks(({ sectorsRead }) => sectorsRead)),
  numbers('VBD_WSECT', 10, ofDisks(({ sectorsWritten }) => sectorsWritten)),
  numbers('SSID', 4, ({ summary }) => summary.ssidref),
]

export const columnCount = columns.length

const header = columns.map(({ title, width }) => title.padStart(width)).join(' ')

/** Where a column's cells are in a line without full names: its first character, and its end. */
export function spanOf(column: number): readonly [number, number] {
  const first = sum(columns.slice(0, column), ({ width }) => width + 1)
  return [first, first + (columns[column]?.width ?? 0)]
}

/** The lines of a sample; `before` is the one before it, if there was one. */
export function topLines(
  sample: TopSample, before: TopSample | undefined, wishes: TopWishes,
): TopLine[][] {
  const column = columns[wishes.sortBy] ?? columns[0]
  const rows = rowsOf(sample, before).sort((a, b) => column?.compare(a, b) ?? 0)
  const title: TopLine = { text: header, kind: 'header' }
  const parts = rows.map((row): TopLine[] => [
    ...wishes.repeatHeader ? [title] : [],
    { text: rowText(row, wishes.fullNames), kind: 'domain' },
    ...details(row, wishes).map((text): TopLine => ({ text, kind: 'detail' })),
  ])
  return wishes.repeatHeader ? parts : [[title], ...parts]
}

function rowsOf(sample: TopSample, before: TopSample | undefined): TopRow[] {
  const totalKib = sample.host.totalPages * PAGE_KIB
  const elapsedNs = before ? (sample.at.getTime() - before.at.getTime()) * 1e6 : 0
  return sample.domains.map((domain) => {
    const last = before?.domains.find(({ summary }) => summary.domid === domain.summary.domid)
    const ranNs = last ? domain.summary.cpuTimeNs - last.summary.cpuTimeNs : 0
    return { ...domain, totalKib, cpuPercent: elapsedNs > 0 ? ranNs / elapsedNs * 100 : 0 }
  })
}

function rowText(row: TopRow, fullNames: boolean): string {
  return columns.map((column, index) => {
    const text = column.cell(row)
    return (index === 0 && !fullNames ? text.slice(0, NAME_WIDTH) : text).padStart(column.width)
  }).join(' ')
}

function pad(value: number, width: number): string {
  return `${Math.floor(value)}`.padStart(width)
}

function details({ summary, vcpus }: TopRow, wishes: TopWishes): string[] {
  const lines: string[] = []
  if (wishes.vcpus) {
    const times = vcpus.filter(({ online }) => online)
      .map(({ vcpu, cpuTimeNs }) => ` ${pad(vcpu, 2)}: ${pad(cpuTimeNs / 1e9, 10)}s`)
    lines.push(`VCPUs(sec): ${times.join('')}`)
  }
  if (wishes.networks) lines.push(...summary.networks.map(networkLine))
  if (wishes.disks) lines.push(...summary.disks.map(diskLine))
  return lines
}

function networkLine(counters: NetCounters, index: number): string {
  const direction = (bytes: number, packets: number, errors: number, dropped: number): string =>
    `${pad(bytes, 8)}bytes ${pad(packets, 8)}pkts ${pad(errors, 8)}err ${pad(dropped, 8)}drop`
  const { rxBytes, rxPackets, rxErrors, rxDropped } = counters
  const { txBytes, txPackets, txErrors, txDropped } = counters
  return `Net${index} RX: ${direction(rxBytes, rxPackets, rxErrors, rxDropped)}  ` +
    `TX: ${direction(txBytes, txPackets, txErrors, txDropped)}`
}

function diskLine(counters: DiskCounters): string {
  const [major, minor] = [counters.device >> 8, counters.device & 0xff]
    .map((part) => part.toString(16).padStart(2))
  return `VBD BlkBack ${counters.device} [${major}:${minor}]  ` +
    `OO: ${pad(counters.outOfRequests, 8)}   RD: ${pad(counters.reads, 8)}   ` +
    `WR: ${pad(counters.writes, 8)}   RSECT: ${pad(counters.sectorsRead, 10)}   ` +
    `WSECT: ${pad(counters.sectorsWritten, 10)}`
}

/** The three lines above the table. */
export function summaryLines({ at, host, domains }: TopSample): string[] {
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()]
    .map((part) => `${part}`.padStart(2, '0')).join(':')
  const count = (holds: (domain: DomainSummary) => boolean): number =>
    domains.filter(({ summary }) => holds(summary)).length
  const totalKib = host.totalPages * PAGE_KIB
  const freeKib = host.freePages * PAGE_KIB
  return [
    `xentop - ${clock}   Xen ${host.xenMajor}.${host.xenMinor}${host.xenExtra}`,
    `${domains.length} domains: ${count(({ running }) => running)} running, ` +
    `${count(({ blocked }) => blocked)} blocked, ${count(({ paused }) => paused)} paused, ` +
    `${count(crashed)} crashed, ${count(({ dying }) => dying)} dying, ` +
    `${count((domain) => domain.shutdown && !crashed(domain))} shutdown`,
    `Mem: ${totalKib}k total, ${totalKib - freeKib}k used, ${freeKib}k free    ` +
    `CPUs: ${host.nrCpus} @ ${Math.floor(host.cpuKhz / 1000)}MHz`,
  ]
}
