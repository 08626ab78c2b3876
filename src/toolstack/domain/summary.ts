/**
 * What a listing says of a domain, out of the hypervisor's books and the store.
 */
import type { NetCounters } from '../../backends/net/device.ts'
import type { DomainInfo } from '../../dom0/interfaces.ts'
import type { StoreAccess } from '../../xenstore/client.ts'
import { domainPath } from '../../xenstore/path.ts'
import type { DiskCounters, DomainSummary } from './libxl.ts'
import { nameOf } from './store-tree.ts'
import { uuidText } from './uuid.ts'

/** `hostStartedMs` is when the control domain began. */
export function summaryOf(
  store: StoreAccess, info: DomainInfo, hostStartedMs: number, disks: readonly DiskCounters[],
  networks: readonly NetCounters[], nodes: readonly number[] | undefined,
): DomainSummary {
  const { domid } = info
  const vm = store.read(`${domainPath(domid)}/vm`)
  const start = vm === undefined ? undefined : store.read(`${vm}/start_time`)
  return {
    domid,
    name: nameOf(store, domid),
    uuid: uuidText(info.handle),
    memoryKib: (info.totalPages + info.outstandingPages) * 4,
    maxMemoryKib: info.maxPages * 4,
    claimedKib: info.outstandingPages * 4,
    onlineVcpus: info.onlineVcpus,
    ssidref: info.ssidref,
    running: info.running,
    blocked: info.blocked,
    paused: info.paused,
    shutdown: info.shutdown,
    dying: info.dying,
    shutdownReason: info.shutdownReason,
    cpuTimeNs: info.cpuTimeNs,
    networks,
    disks,
    poolName: poolName(store, info.cpupool),
    nodes,
    startTime: domid === 0 ? hostStartedMs / 1000 : start === undefined ? undefined : +start,
  }
}

export function poolName(store: StoreAccess, pool: number): string {
  return store.read(`/local/pool/${pool}/name`) ?? `${pool}`
}
