/**
 * The hypervisor as one thread sees it: views of the shared state, and one object for each domain
 * that the thread has met.
 *
 * The state itself (state.ts) lies in hypervisor memory and is the same for all threads. Host.lay
 * prepares that memory once; every thread then makes a Host over the same two buffers.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'
import { atomicAdd } from '../../base/layout/atomics.ts'
import { writeText } from '../../base/layout/text.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { ring } from '../../base/shared/doorbell.ts'
import { Heap } from '../../base/shared/heap.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import { Region } from '../../base/shared/region.ts'
import { DOMID_FIRST_RESERVED, DOMID_SELF, DOMID_XEN } from '../../abi/xen/xen.ts'
import { ConsoleRing } from '../console/ring.ts'
import { Domain } from '../domain/domain.ts'
import { DomainState, LIFE, VcpuState } from '../domain/state.ts'
import { FrameContent, type GiveBack } from '../memory/frame-content.ts'
import { FRAME_ENTRY_WORDS, Frames } from '../memory/frames.ts'
import { FrameUses } from '../memory/frame-uses.ts'
import { dummyXsm, type Xsm } from '../xsm/xsm.ts'
import { Presence } from './presence.ts'
import { equalNodes, layNodes, nodesOf, type NodeWish } from './nodes.ts'
import type { Services, Subsystem } from './services.ts'
import { CoreState, HOST_MAGIC, HostState, LOCK_RANK, MAX_CORES } from './state.ts'

const CONRING_SIZE = 64 * 1024
const HEAP_SIZE = 32 * 1024 * 1024

export interface HostMemory {
  readonly hypervisor: SharedArrayBuffer
  readonly machine: SharedArrayBuffer
}

export interface HostSettings {
  /** Physical CPUs. */
  readonly cores: number
  /** The rate of every guest's TSC. */
  readonly tscKhz: number
  readonly commandLine?: string
  /** Frames in which there is memory from the start; unless given, all that there is room for. */
  readonly presentFrames?: number | undefined
  /** NUMA nodes with all cores and present frames; unless given, as the command line says. */
  readonly nodes?: readonly NodeWish[] | undefined
  /** hw_cap of sysctl physinfo. */
  readonly hwCap?: readonly number[]
}

/** What differs from thread to thread or is chosen at assembly. */
export interface HostParts {
  readonly clock: Clock
  readonly xsm?: Xsm
  readonly services?: Partial<Services>
  /** Unless given, memory of free frames is kept. */
  readonly giveBack?: GiveBack
}

/** How many cores are online from the start, at most: `maxcpus=` on Xen's command line. */
function onlineWish(commandLine: string): number {
  return Number(/(?:^|\s)maxcpus=(\d+)(?:\s|$)/.exec(commandLine)?.[1] ?? 0) || MAX_CORES
}

export class Host {
  readonly hypervisor: Region
  readonly machine: Region
  readonly state: ViewOf<typeof HostState>
  readonly heap: Heap
  readonly frames: Frames
  readonly frameUses: FrameUses
  readonly presence: Presence
  readonly console: ConsoleRing
  readonly clock: Clock
  readonly xsm: Xsm
  /** Parts with state of their own; created in order, destroyed in the opposite one. */
  readonly subsystems: Subsystem[] = []
  /** Set at assembly; until then nothing is sent, woken or granted. */
  readonly services: Services
  readonly domctlLock: RankedLock
  readonly domainLock: RankedLock
  /** Domains met by this thread, by domid; checked against the serial before use. */
  readonly #domains = new Map<number, Domain>()
  readonly #core: ViewOf<typeof CoreState>
  readonly #domainProbe: ViewOf<typeof DomainState>

  constructor(memory: HostMemory, parts: HostParts) {
    this.hypervisor = new Region(memory.hypervisor)
    this.machine = new Region(memory.machine)
    this.state = HostState.on(memory.hypervisor)
    assert(this.state.magic === HOST_MAGIC, 'hypervisor memory was not laid out')
    this.heap = new Heap(this.hypervisor, HostState.offsets.heap, LOCK_RANK.heap)
    this.frameUses = new FrameUses(this.hypervisor, this.machine, (core) => this.kickCore(core))
    const content = new FrameContent(this.machine, parts.giveBack)
    this.frames = new Frames(this.hypervisor, content, (mfn) => this.frameUses.written(mfn))
    this.console = new ConsoleRing(this.hypervisor, parts.clock)
    this.clock = parts.clock
    this.xsm = parts.xsm ?? dummyXsm
    this.domctlLock = new RankedLock(this.hypervisor.cells, LOCK_RANK.domctl, 'domctl')
    this.domainLock = new RankedLock(this.hypervisor.cells, LOCK_RANK.domain, 'domain')
    this.presence = new Presence(this)
    this.#core = CoreState.on(memory.hypervisor)
    this.#domainProbe = DomainState.on(memory.hypervisor)
    this.services = {
      events: { sendGlobalVirq() {}, sendVcpuVirq() {} },
      grants: { tableFrame: () => 0, tableFrameCount: () => 0 },
      scheduler: { wake: (vcpu) => this.kickCore(vcpu.state.core), sleep() {}, yield() {} },
      time: { updateWallClock() {}, updateVcpuTime() {} },
      ...parts.services,
    }
  }

  /** Bytes of hypervisor memory that a machine of `machineBytes` needs. */
  static memorySize(machineBytes: number): number {
    const frames = machineBytes / 4096
    const fixed = HostState.size + DOMID_FIRST_RESERVED * 4 + CONRING_SIZE + HEAP_SIZE
    return Math.ceil((fixed + frames * FRAME_ENTRY_WORDS * 4 + frames / 8 + 4096) / 65536) * 65536
  }

  /** Prepares the two memories, zeroed as they come; once, before any thread makes a Host. */
  static lay(memory: HostMemory, settings: HostSettings, clock: Clock): void {
    const state = HostState.on(memory.hypervisor)
    const frames = Math.floor(memory.machine.byteLength / 4096)
    assert(settings.cores > 0 && settings.cores <= MAX_CORES, 'number of cores')
    let at = Math.ceil(HostState.size / 4096) * 4096
    const take = (bytes: number): number => {
      const start = at
      at += Math.ceil(bytes / 64) * 64
      return start
    }
    state.machineFrames = frames
    state.domainTableAt = take(DOMID_FIRST_RESERVED * 4)
    state.frameTableAt = take(frames * FRAME_ENTRY_WORDS * 4)
    state.bitmapAt = take(Math.ceil(frames / 32) * 4)
    state.conringAt = take(CONRING_SIZE)
    state.conringSize = CONRING_SIZE
    state.coreCount = settings.cores
    const { commandLine = '' } = settings
    const present = Math.min(settings.presentFrames ?? frames, frames)
    const nodes = settings.nodes ?? equalNodes(commandLine, settings.cores, present)
    state.nodeCount = nodes.length
    layNodes(nodesOf(state, memory.hypervisor, HostState.offsets.nodes), nodes, frames)
    state.tscKhz = settings.tscKhz
    settings.hwCap?.forEach((word, i) => state.hwCap.set(i, word))
    state.bootWallClockMs = clock.wallClockMs() - clock.now() / 1e6
    state.nextDomid = 1
    writeText(state.commandLine, commandLine)
    const region = new Region(memory.hypervisor)
    new Heap(region, HostState.offsets.heap, LOCK_RANK.heap)
      .initialise(at, memory.hypervisor.byteLength)
    region.words[state.bitmapAt >>> 2] = 1 // Frame 0 means none.
    state.freeFrames = nodes.reduce((sum, node) => sum + node.frames, 0) - 1
    const content = new FrameContent(new Region(memory.machine), undefined)
    const allocator = new Frames(region, content, () => {})
    const kickFrame = allocator.allocateXen(DOMID_XEN, 1)
    state.tscTold = kickFrame * 4096 + MAX_CORES * 64
    state.pairLock = state.tscTold + 64
    const useFrames = Math.ceil(FrameUses.bytes(frames) / 4096)
    state.frameUses = allocator.allocateXen(DOMID_XEN, useFrames) * 4096
    const core = CoreState.on(memory.hypervisor)
    for (let i = 0; i < settings.cores; i++) {
      core.at(HostState.offsets.cores + i * CoreState.size)
      core.kickWord = kickFrame * 4096 + i * 64
      core.online = i < onlineWish(commandLine) ? 1 : 0
      core.node = Math.max(nodes.findIndex((node) => node.cores.includes(i)), 0)
    }
    state.magic = HOST_MAGIC
  }

  /** The domain `domid`, with DOMID_SELF standing for `self`; undefined when there is none. */
  domain(domid: number, self?: Domain): Domain | undefined {
    if (domid === DOMID_SELF) return self
    if (!(domid >= 0 && domid < DOMID_FIRST_RESERVED)) return undefined
    const at = Atomics.load(this.hypervisor.cells, (this.state.domainTableAt >>> 2) + domid)
    if (at === 0) {
      if (this.#domains.size > 0) this.#domains.delete(domid)
      return undefined
    }
    const serial = this.#domainProbe.at(at).serial
    const known = this.#domains.get(domid)
    if (known && known.state.base === at && known.serial === serial) return known
    const domain = new Domain(this, at)
    this.#domains.set(domid, domain)
    return domain
  }

  /** The next domain with a domid of at least `from`. */
  nextDomain(from: number): Domain | undefined {
    const table = this.state.domainTableAt >>> 2
    for (let domid = from; domid < DOMID_FIRST_RESERVED; domid++) {
      if (this.hypervisor.cells[table + domid] !== 0) return this.domain(domid)
    }
    return undefined
  }

  /** Makes domid name the struct at `at` (0: nothing). */
  bindDomid(domid: number, at: number): void {
    Atomics.store(this.hypervisor.cells, (this.state.domainTableAt >>> 2) + domid, at)
    atomicAdd(this.state, HostState.offsets.domainCount, at !== 0 ? 1 : -1)
    if (at === 0) this.#domains.delete(domid)
  }

  isDomidFree(domid: number): boolean {
    return this.hypervisor.cells[(this.state.domainTableAt >>> 2) + domid] === 0
  }

  /** A view of core `index`. The same view each time: use it before the next call. */
  core(index: number): ViewOf<typeof CoreState> {
    assert(index < this.state.coreCount, 'core number')
    return this.#core.at(HostState.offsets.cores + index * CoreState.size)
  }

  /** Makes core `index` look for work: wakes it if it sleeps, ends its run if it runs. */
  kickCore(index: number): void {
    const core = this.core(index)
    Atomics.store(this.machine.cells, core.kickWord >>> 2, 1)
    ring(this.hypervisor.cells, core.base + CoreState.offsets.doorbell)
  }

  /** A zeroed domain struct (0: no memory), with the domctl lock held. */
  takeDomainBlock(): number {
    return this.#takeBlock('freeDomains', DomainState.size)
  }

  returnDomainBlock(at: number): void {
    this.#returnBlock('freeDomains', at)
  }

  takeVcpuBlock(): number {
    return this.#takeBlock('freeVcpus', VcpuState.size)
  }

  returnVcpuBlock(at: number): void {
    this.#returnBlock('freeVcpus', at)
  }

  /** Free blocks are chained through their second word; the first, the serial, stays. */
  #takeBlock(list: 'freeDomains' | 'freeVcpus', size: number): number {
    const first = this.state[list]
    const at = first === 0 ? this.heap.allocate(size) : first
    if (at === 0) return 0
    if (first !== 0) this.state[list] = this.hypervisor.words[(at >>> 2) + 1]!
    this.hypervisor.octets.fill(0, at, at + size)
    this.state.domainSerial++
    this.hypervisor.words[at >>> 2] = this.state.domainSerial
    return at
  }

  #returnBlock(list: 'freeDomains' | 'freeVcpus', at: number): void {
    assert(LIFE.free === 0, 'a free block reads as no domain')
    this.hypervisor.words[at >>> 2] = 0
    this.hypervisor.words[(at >>> 2) + 1] = this.state[list]
    this.state[list] = at
  }
}
