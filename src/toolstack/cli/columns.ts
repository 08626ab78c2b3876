/**
 * The columns of xl's listings, as real xl 4.17 prints them.
 */
import { SHUTDOWN_crash } from '../../abi/xen/sched.ts'
import type {
  CpupoolSummary, DomainSummary, SchedulerParameters, VcpuSummary,
} from '../domain/libxl.ts'

export interface ListOptions {
  readonly verbose: boolean
  readonly context: boolean
  readonly cpupool: boolean
  readonly numa: boolean
}

function left(value: string | number, width: number): string {
  return String(value).padEnd(width)
}

function right(value: string | number, width: number): string {
  return String(value).padStart(width)
}

function seconds(ns: number): string {
  return (ns / 1e9).toFixed(1)
}

/** `xl list`. */
export function listTable(domains: readonly DomainSummary[], options: ListOptions): string {
  let header = `${left('Name', 40)}    ID   Mem VCPUs\tState\tTime(s)`
  if (options.verbose) header += '   UUID                            Reason-Code\tSecurity Label'
  if (options.context && !options.verbose) header += '   Security Label'
  if (options.cpupool) header += '         Cpupool'
  if (options.numa) header += ' NODE Affinity'
  return [header, ...domains.map((domain) => listRow(domain, options))].join('\n') + '\n'
}

function listRow(domain: DomainSummary, options: ListOptions): string {
  const crashed = domain.shutdown && domain.shutdownReason === SHUTDOWN_crash
  const state = [
    domain.running ? 'r' : '-', domain.blocked ? 'b' : '-', domain.paused ? 'p' : '-',
    domain.shutdown ? 's' : '-', crashed ? 'c' : '-', domain.dying ? 'd' : '-',
  ].join('')
  let row = `${left(domain.name ?? '(null)', 40)} ${right(domain.domid, 5)} ` +
    `${right(Math.floor(domain.memoryKib / 1024), 5)} ${right(domain.onlineVcpus, 5)}     ` +
    `${state}  ${right(seconds(domain.cpuTimeNs), 8)}`
  if (options.verbose) {
    const reason = domain.shutdown ? domain.shutdownReason.toString(16) : '-'
    row += ` ${domain.uuid} ${right(reason, 8)}`
  }
  if (options.verbose || options.context) row += ` ${right('-', 16)}`
  if (options.cpupool) row += right(domain.poolName, 16)
  if (options.numa) row += ` ${cpuRange(domain.nodes)}`
  return row
}

/** `xl claims`. */
export function claimsTable(domains: readonly DomainSummary[]): string {
  const plain = { verbose: false, context: false, cpupool: false, numa: false }
  const rows = domains.map((domain) =>
    `${listRow(domain, plain)} ${right(Math.floor(domain.claimedKib / 1024), 5)}\n`)
  return `${left('Name', 40)}    ID   Mem VCPUs\tState\tTime(s)  Claimed\n${rows.join('')}`
}

/** `xl sharing`. No page is shared here. */
export function sharingTable(domains: readonly DomainSummary[]): string {
  const rows = domains.map((domain) =>
    `${left(domain.name ?? '(null)', 40)} ${right(domain.domid, 5)} ` +
    `${right(Math.floor(domain.memoryKib / 1024), 5)}  ${right(0, 5)}\n`)
  return `${left('Name', 40)}    ID   Mem Shared\n${rows.join('')}`
}

/** `xl vm-list`. */
export function vmTable(domains: readonly DomainSummary[]): string {
  const rows = domains.map((domain) =>
    `${domain.uuid}  ${domain.domid}    ${left(domain.name ?? '(null)', 30)}\n`)
  return `UUID                                  ID    name\n${rows.join('')}`
}

/** `xl cpupool-list`; `cpus` is its -c. */
export function cpupoolTable(pools: readonly CpupoolSummary[], cpus: boolean): string {
  const header = cpus ? 'CPU list' : 'CPUs   Sched     Active   Domain count'
  const rows = pools.map((pool) => left(pool.name, 19) + (cpus
    ? `${pool.cpus.join(',')}\n`
    : `${right(pool.cpus.length, 3)} ${right(pool.scheduler, 9)}       y       ` +
      `${right(pool.domainCount, 4)}\n`))
  return `${left('Name', 19)}${header}\n${rows.join('')}`
}

/** The first line of `xl vcpu-list`. */
export const vcpuHeader = `${left('Name', 32)}    ID  VCPU   CPU State   Time(s) ` +
  'Affinity (Hard / Soft)\n'

/** `xl vcpu-list`, the lines of one domain. */
export function vcpuRows(domain: DomainSummary, vcpus: readonly VcpuSummary[]): string {
  return vcpus.map((vcpu) => {
    const cpu = vcpu.online ? right(vcpu.cpu, 5) : right('-', 5)
    const state = vcpu.online
      ? `${vcpu.running ? 'r' : '-'}${vcpu.blocked ? 'b' : '-'}-`
      : '--p'
    return `${left(domain.name ?? '(null)', 32)} ${right(domain.domid, 5)} ` +
      `${right(vcpu.vcpu, 5)}${cpu}   ${state} ${right(seconds(vcpu.cpuTimeNs), 9)}  ` +
      `${cpuRange(vcpu.hard)} / ${cpuRange(vcpu.soft)}\n`
  }).join('')
}

/** "0-3,5", or "all". */
export function cpuRange(cpus: readonly number[] | undefined): string {
  if (cpus === undefined) return 'all'
  if (cpus.length === 0) return 'none'
  const parts: string[] = []
  for (let i = 0; i < cpus.length;) {
    const first = cpus[i] ?? 0
    let last = first
    for (i++; cpus[i] === last + 1; i++) last++
    parts.push(first === last ? `${first}` : `${first}-${last}`)
  }
  return parts.join(',')
}

export const schedulingHeader = `${left('Name', 33)}   ID Weight  Cap\n`

/** `xl sched-credit2`, one line. */
export function schedulingRow(domain: DomainSummary, { weight, cap }: SchedulerParameters): string {
  return `${left(domain.name ?? '(null)', 33)} ${right(domain.domid, 4)} ${right(weight, 6)} ` +
    `${right(cap, 4)}\n`
}

export const uptimeHeader = `${left('Name', 33)}   ID Uptime\n`

/** `xl uptime`, one line; `-s` gives the form that uptime(1) has. */
export function uptimeRow(domain: DomainSummary, now: Date, short: boolean): string {
  const name = domain.name ?? '(null)'
  const up = Math.max(0, Math.floor(now.getTime() / 1000 - (domain.startTime ?? 0)))
  const days = Math.floor(up / 86400)
  const hours = right(Math.floor(up / 3600) % 24, 2)
  const minutes = two(Math.floor(up / 60) % 60)
  const since = days > 1 ? `${days} days, ` : days === 1 ? '1 day, ' : ''
  if (short) {
    const clock = [now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(':')
    return ` ${clock} up ${since}${hours}:${minutes}, ${name} (${domain.domid})\n`
  }
  return `${left(name, 33)} ${right(domain.domid, 4)} ${since}${hours}:${minutes}:` +
    `${two(up % 60)}\n`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
