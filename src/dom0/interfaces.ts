/**
 * What the control domain's programs may use: the duties of libxenctrl, libxenevtchn, libxengnttab
 * and libxenforeignmemory as interfaces.
 *
 * Everything above the wall (xenstore, back-ends, toolstack) is written against these and never
 * sees a hypervisor object. A hypercall that is refused throws XenError.
 */
import type { Domid, EvtchnPort, Gfn, GrantRef } from '../abi/numbers.ts'
import type { FeatureWord } from '../abi/x86/cpuid.ts'

/** A hypercall refused: `errno` is positive, as in xen/include/public/errno.h. */
export class XenError extends Error {
  override readonly name = 'XenError'
  /** The call that was refused, by libxenctrl's name. */
  readonly call: string
  readonly errno: number

  constructor(call: string, errno: number, errnoName: string) {
    super(`${call}: ${errnoName}`)
    this.call = call
    this.errno = errno
  }
}

/** The way into the hypervisor, as a process in Dom0 has it through /dev/xen/privcmd. */
export interface HypercallGate {
  /** Makes a hypercall; the result is what RAX would hold, as a signed number. */
  call(number: number, a0?: number, a1?: number, a2?: number, a3?: number, a4?: number): number
  /** Pages for arguments, at addresses 0 to `buffer.length` of Dom0. */
  readonly buffer: Uint8Array
  /** Dom0's page at `gfn`, through its own p2m; undefined at a hole. */
  page(gfn: Gfn): Uint8Array | undefined
  /** Calls `handler` soon after Dom0's vcpu 0 is given an event; answers what ends that. */
  onUpcall(handler: () => void): () => void
}

export interface XenVersion {
  readonly major: number
  readonly minor: number
  readonly extra: string
  readonly capabilities: string
  readonly changeset: string
  readonly commandLine: string
  readonly buildId: string
  readonly pageSize: number
  readonly virtStart: bigint
  readonly compiler: string
  readonly compileBy: string
  readonly compileDomain: string
  readonly compileDate: string
}

export interface PhysicalInfo {
  readonly nrCpus: number
  readonly maxCpuId: number
  readonly nrNodes: number
  readonly threadsPerCore: number
  readonly coresPerSocket: number
  readonly cpuKhz: number
  readonly totalPages: number
  readonly freePages: number
  readonly scrubPages: number
  readonly outstandingPages: number
  readonly maxMfn: number
  readonly hwCap: readonly number[]
  /** XEN_SYSCTL_PHYSCAP_* bits. */
  readonly capabilities: number
}

/** struct xen_domctl_getdomaininfo, unpacked. */
export interface DomainInfo {
  readonly domid: Domid
  readonly dying: boolean
  readonly hvm: boolean
  readonly shutdown: boolean
  readonly paused: boolean
  readonly blocked: boolean
  readonly running: boolean
  readonly debugged: boolean
  readonly xsDomain: boolean
  readonly hap: boolean
  /** SHUTDOWN_*, when `shutdown`. */
  readonly shutdownReason: number
  readonly totalPages: number
  readonly maxPages: number
  readonly outstandingPages: number
  readonly sharedInfoFrame: number
  readonly cpuTimeNs: number
  readonly onlineVcpus: number
  readonly maxVcpuId: number
  readonly ssidref: number
  /** The domain's UUID, 16 bytes. */
  readonly handle: Uint8Array
  readonly cpupool: number
}

export interface VcpuInfo {
  readonly online: boolean
  readonly blocked: boolean
  readonly running: boolean
  readonly cpuTimeNs: number
  readonly cpu: number
}

export interface CpupoolInfo {
  readonly id: number
  readonly schedId: number
  readonly domainCount: number
  readonly cpuMap: Uint8Array
}

export interface CpuPlace {
  readonly core: number
  readonly socket: number
  readonly node: number
}

export interface NumaNode {
  readonly sizeBytes: number
  readonly freeBytes: number
  /** To each node, itself included. */
  readonly distances: readonly number[]
}

/** What a domain with virtual NUMA sees, and where on the host its nodes are. */
export interface VnumaTopology {
  /** Row by row. */
  readonly distances: readonly number[]
  readonly vnodeOfVcpu: readonly number[]
  readonly pnodeOfVnode: readonly number[]
  /** In bytes. */
  readonly memory: readonly {
    readonly start: number, readonly end: number, readonly vnode: number,
  }[]
}

/** What became of a frame: 0 or the number of the error, and PG_OFFLINE_* or PG_ONLINE_* bits. */
export interface PageOutcome {
  readonly errno: number
  readonly status: number
}

/** What credit and credit2 know of a domain: percent of a core for the cap, 0 for none. */
export interface SchedTerms {
  readonly weight: number
  readonly cap: number
}

/** What rtds knows of a vcpu. */
export interface Reservation {
  readonly vcpu: number
  readonly periodUs: number
  readonly budgetUs: number
  readonly extra: boolean
}

/** What credit and credit2 know of a pool; the last two are credit's. */
export interface PoolTerms {
  readonly ratelimitUs: number
  readonly sliceMs: number
  readonly migrationDelayUs: number
}

export interface CreateDomainConfig {
  /** Left out: the hypervisor chooses one. */
  readonly domid?: Domid
  readonly ssidref?: number
  /** UUID, 16 bytes. */
  readonly handle: Uint8Array
  /** XEN_DOMCTL_CDF_*. */
  readonly flags: number
  readonly maxVcpus: number
  readonly maxEvtchnPort?: number
  readonly maxGrantFrames?: number
  readonly maxMaptrackFrames?: number
  readonly grantVersion?: number
  readonly cpupool?: number
  /** XEN_X86_EMU_*. */
  readonly emulationFlags?: number
  readonly miscFlags?: number
}

/** An entry of a guest's e820 map. */
export interface E820Range {
  readonly address: number
  readonly size: number
  readonly type: number
}

export interface Affinity {
  /** One bit a physical CPU, lowest first. */
  readonly hard: Uint8Array
  readonly soft: Uint8Array
}

/** libxenctrl: one method a control operation. */
export interface Xenctrl {
  version(): XenVersion
  physinfo(): PhysicalInfo
  schedId(): number
  /** Where each CPU is. */
  cpuTopology(): CpuPlace[]
  numaNodes(): NumaNode[]
  cpupoolInfo(pool: number): CpupoolInfo | undefined
  cpupoolFreeCpus(): Uint8Array
  /** Takes a CPU out of use or back, by XEN_SYSCTL_CPU_HOTPLUG_*. */
  hotplugCpu(op: number, cpu: number): void
  markPageOffline(mfn: number): PageOutcome
  markPageOnline(mfn: number): PageOutcome
  queryPageOffline(mfn: number): PageOutcome
  /** Tells that there is memory in the frames from `first` to before `end`, near `node`. */
  addMemory(first: number, end: number, node: number): void
  /** The hypervisor's log (`xl dmesg`), and empties it when `clear`. */
  readConsole(clear: boolean): Uint8Array
  sendDebugKeys(keys: string): void

  createDomain(config: CreateDomainConfig): Domid
  destroyDomain(domid: Domid): void
  pauseDomain(domid: Domid): void
  unpauseDomain(domid: Domid): void
  /** Shuts a domain down from outside, with a SHUTDOWN_* reason (SCHEDOP_remote_shutdown). */
  shutdownDomain(domid: Domid, reason: number): void
  resumeDomain(domid: Domid): void
  /** Undefined when there is no such domain. */
  getDomainInfo(domid: Domid): DomainInfo | undefined
  /** Domains from `first` on, in order of domid. */
  getDomainInfoList(first: Domid, max: number): DomainInfo[]
  setDomainHandle(domid: Domid, handle: Uint8Array): void
  setMaxVcpus(domid: Domid, max: number): void
  setMaxMem(domid: Domid, kib: number): void
  getVcpuInfo(domid: Domid, vcpu: number): VcpuInfo
  getVcpuAffinity(domid: Domid, vcpu: number): Affinity
  setVcpuAffinity(domid: Domid, vcpu: number, affinity: Partial<Affinity>): void
  setVnumaInfo(domid: Domid, topology: VnumaTopology): void
  setNodeAffinity(domid: Domid, nodes: Uint8Array): void
  getNodeAffinity(domid: Domid): Uint8Array
  getHvmParam(domid: Domid, param: number): bigint
  setHvmParam(domid: Domid, param: number, value: bigint | number): void
  /** The domain's HVM save records, in xen/hvm/save.h's format. */
  getHvmContext(domid: Domid): Uint8Array
  setHvmContext(domid: Domid, records: Uint8Array): void
  setTscInfo(domid: Domid, mode: number, elapsedNs: bigint, khz: number, incarnation: number): void
  /** Of each feature word of CPUID that is named, the bits that may be shown of what there is. */
  setFeatures(domid: Domid, features: ReadonlyMap<FeatureWord, number>): void
  setTimeOffset(domid: Domid, seconds: number): void
  setPagingMempoolSize(domid: Domid, bytes: number): void
  setShadowAllocation(domid: Domid, mib: number): void
  createCpupool(schedId: number): number
  destroyCpupool(pool: number): void
  addCpuToPool(pool: number, cpu: number): void
  removeCpuFromPool(pool: number, cpu: number): void
  moveToPool(pool: number, domid: Domid): void
  /** What a scheduler knows of a pool; refused where the pool has another. */
  getPoolTerms(pool: number, schedId: number): PoolTerms
  setPoolTerms(pool: number, schedId: number, terms: PoolTerms): void
  /** What credit or credit2 knows of a domain; refused where its pool has another. */
  getSchedTerms(domid: Domid, schedId: number): SchedTerms
  setSchedTerms(domid: Domid, schedId: number, terms: SchedTerms): void
  getReservations(domid: Domid, vcpus: readonly number[]): Reservation[]
  setReservations(domid: Domid, reservations: readonly Reservation[]): void
  sendTrigger(domid: Domid, trigger: number, vcpu: number): void

  /** Gives RAM to each gfn; `order` is the extents' size as a power of two. Answers how many. */
  populatePhysmap(domid: Domid, gfns: readonly Gfn[], order: number): number
  /** As populatePhysmap for `count` extents that follow one another, with frames of host node
   * `node` only if that is given. */
  populateRange(domid: Domid, first: Gfn, count: number, order: number, node?: number): number
  /** As populateRange, but the gfns get RAM only once they are reached for. */
  populateLater(domid: Domid, first: Gfn, count: number, order: number): number
  /** How many pages a domain shall have in all, with those that it gets later; throws where there
   * are not so many. */
  setPodTarget(domid: Domid, pages: number): void
  /** Promises the domain so many pages in all; 0 ends the promise. */
  claimPages(domid: Domid, pages: number): void
  decreaseReservation(domid: Domid, gfns: readonly Gfn[], order: number): number
  addToPhysmap(domid: Domid, space: number, index: number, gfn: Gfn): void
  setMemoryMap(domid: Domid, map: readonly E820Range[]): void
  maximumGpfn(domid: Domid): number
}

/** Dom0's ends of event channels. */
export interface EventChannels {
  /** Reserves a port of `domid` (a guest's) for `remote` to bind to. */
  allocUnbound(domid: Domid, remote: Domid): EvtchnPort
  /** A port of Dom0 joined to `remotePort` of `domid`. */
  bindInterdomain(domid: Domid, remotePort: EvtchnPort): EvtchnPort
  /** A port of Dom0 on which VIRQ_* number `virq` arrives. */
  bindVirq(virq: number): EvtchnPort
  notify(port: EvtchnPort): void
  unbind(port: EvtchnPort): void
  /** Calls `handler` for each event on `port`, in its own turn of the event loop. */
  onEvent(port: EvtchnPort, handler: () => void): void
}

/** Pages of another domain, mapped here until `unmap`. */
export interface Mapping {
  readonly length: number
  /** 4096 bytes over shared memory; not to be used after `unmap`. */
  page(index: number): Uint8Array
  unmap(): void
}

/** Foreign mapping by frame number (the toolstack's right over domains it controls). */
export interface ForeignMemory {
  /** Throws XenError if any of `gfns` cannot be mapped. */
  map(domid: Domid, gfns: readonly Gfn[]): Mapping
  /** Maps those of `gfns` that can be; throws XenError where there is no such domain. */
  mapThose(
    domid: Domid, gfns: readonly Gfn[],
  ): { readonly gfns: readonly Gfn[], readonly mapping: Mapping }
  /** Copies `bytes` into the domain's physical memory. */
  write(domid: Domid, physicalAddress: number, bytes: Uint8Array): void
  read(domid: Domid, physicalAddress: number, length: number): Uint8Array
}

/** A stretch of a page that another domain granted, and bytes of ours as long as it. */
export interface GrantedPiece {
  readonly ref: GrantRef
  readonly offset: number
  readonly bytes: Uint8Array
}

/** Grants: pages that another domain offered to Dom0. */
export interface GrantTable {
  map(domid: Domid, refs: readonly GrantRef[], writable: boolean): Mapping
  /** Copies granted pieces into `bytes` of each; which of them could be. */
  copyFrom(domid: Domid, pieces: readonly GrantedPiece[]): boolean[]
  /** Copies `bytes` of each piece to where it was granted; which of them could be. */
  copyTo(domid: Domid, pieces: readonly GrantedPiece[]): boolean[]
  /**
   * Writes grant entries into a new domain's table, before it runs: `frame` of `domid` offered to
   * `to` as reference `ref` (what libxenguest does for the console and xenstore pages).
   */
  seed(domid: Domid, ref: GrantRef, to: Domid, frame: Gfn): void
}

/** All of the control domain's access, as the programs are given it. */
export interface ControlDomain {
  readonly xenctrl: Xenctrl
  readonly events: EventChannels
  readonly memory: ForeignMemory
  readonly grants: GrantTable
}
