/**
 * For tests only: a control domain over a hypervisor that only keeps books. Domains never run; a
 * test says when they print, shut down or answer.
 */
import { HVM_SAVE_CODE_END, HVM_SAVE_CODE_HEADER, HvmSaveDescriptor, HvmSaveHeader } from
  '../../abi/save/hvm.ts'
import {
  asDomid, asEvtchnPort, type Domid, type EvtchnPort, type Gfn,
} from '../../abi/numbers.ts'
import { VIRQ_DOM_EXC } from '../../abi/xen/xen.ts'
import { EINVAL, ENOMEM, ESRCH } from '../../abi/xen/errno.ts'
import { silentLog } from '../../base/log.ts'
import {
  type Affinity, type ControlDomain, type CreateDomainConfig, type DomainInfo, type EventChannels,
  type ForeignMemory, type GrantTable, type Mapping, type SchedTerms, XenError,
  type Xenctrl,
} from '../../dom0/interfaces.ts'
import { MemoryFiles } from '../../storage/memory-file.ts'
import { fakePair, type FakeStream } from '../host/fake-stream.ts'
import type { ByteStream } from '../host/stream.ts'
import type { DomainSpec } from './libxl.ts'
import type { Listener, Pty, ToolstackHost } from './toolstack-host.ts'

/** A fake domain: its pages, parameters and what domctl says of it. */
class FakeDomain {
  readonly domid: Domid
  readonly pages = new Map<number, Uint8Array>()
  readonly parameters = new Map<number, number>()
  readonly granted: string[] = []
  readonly mapped = new Set<Mapping>()
  context: Uint8Array = new Uint8Array(0)
  info: DomainInfo
  readonly config: CreateDomainConfig
  nextPort = 1
  populated = 0

  constructor(domid: Domid, config: CreateDomainConfig) {
    this.domid = domid
    this.config = config
    this.info = {
      domid, dying: false, hvm: true, shutdown: false, paused: true, blocked: false,
      running: false, debugged: false, xsDomain: false, hap: true, shutdownReason: 0,
      totalPages: 0, maxPages: 0, outstandingPages: 0, sharedInfoFrame: 0, cpuTimeNs: 0,
      onlineVcpus: config.maxVcpus, maxVcpuId: config.maxVcpus - 1, ssidref: 0,
      handle: config.handle, cpupool: 0,
    }
  }

  page(gfn: number): Uint8Array {
    let page = this.pages.get(gfn)
    if (!page) this.pages.set(gfn, page = new Uint8Array(new SharedArrayBuffer(4096)))
    return page
  }
}

export class FakeControl implements ControlDomain {
  readonly domains = new Map<number, FakeDomain>()
  readonly handlers = new Map<number, () => void>()
  readonly calls: string[] = []
  freePages = 1 << 20
  /** By domid and VCPU, `1.0`. */
  readonly affinities = new Map<string, Partial<Affinity>>()
  readonly weights = new Map<number, SchedTerms>()
  /** The call that is refused, to see what is left behind. */
  failAt = ''
  nextDomid = 1
  nextPort = 1
  virqPort = 0
  logText = '(XEN) fake\n'

  constructor() {
    const own = new FakeDomain(asDomid(0), { handle: new Uint8Array(16), flags: 0, maxVcpus: 1 })
    own.info = { ...own.info, hvm: false, paused: false, running: true, totalPages: 1 << 18 }
    this.domains.set(0, own)
  }

  domain(domid: number): FakeDomain {
    const domain = this.domains.get(domid)
    if (!domain) throw new XenError('domctl', ESRCH, 'ESRCH')
    return domain
  }

  /** As a guest's SCHEDOP_shutdown. */
  shutDown(domid: number, reason: number): void {
    const domain = this.domain(domid)
    domain.info = { ...domain.info, shutdown: true, shutdownReason: reason }
    this.handlers.get(this.virqPort)?.()
  }

  /** Prints from the guest's end of its console, which must be empty. */
  print(domid: number, text: string): void {
    const page = this.domain(domid).page(0xfefff)
    const words = new Int32Array(page.buffer)
    const producer = words[771] ?? 0
    for (let i = 0; i < text.length; i++) {
      page[1024 + ((producer + i) & 2047)] = text.charCodeAt(i)
    }
    words[771] = producer + text.length
    for (const handler of [...this.handlers.values()]) handler()
  }

  readonly xenctrl = new Proxy({} as Xenctrl, {
    get: (_, name) => (...args: unknown[]): unknown => {
      const call = String(name)
      this.calls.push(call)
      if (call === this.failAt) throw new XenError(call, ENOMEM, 'ENOMEM')
      const known = this.#calls[call]
      return known?.(...args as never[])
    },
  })

  readonly #calls: Readonly<Record<string, (...args: never[]) => unknown>> = {
    createDomain: (config: CreateDomainConfig) => {
      const domid = asDomid(this.nextDomid++)
      this.domains.set(domid, new FakeDomain(domid, config))
      return domid
    },
    destroyDomain: (domid: Domid) => void this.domains.delete(this.domain(domid).domid),
    getDomainInfo: (domid: Domid) => this.domains.get(domid)?.info,
    getDomainInfoList: (first: Domid) =>
      [...this.domains.values()].filter((d) => d.domid >= first).map((d) => d.info),
    pauseDomain: (domid: Domid) => this.#set(domid, { paused: true }),
    unpauseDomain: (domid: Domid) => this.#set(domid, { paused: false }),
    setMaxMem: (domid: Domid, kib: number) => this.#set(domid, { maxPages: kib / 4 }),
    cpupoolInfo: (pool: number) => pool > 0 ? undefined
      : { id: 0, schedId: 6, domainCount: this.domains.size, cpuMap: Uint8Array.of(1) },
    setVcpuAffinity: (domid: Domid, vcpu: number, change: Partial<Affinity>) => {
      if (Object.values(change).some((map) => map.length > 1 || ((map[0] ?? 0) & 3) === 0)) {
        throw new XenError('xc_vcpu_setaffinity', EINVAL, 'EINVAL')
      }
      const now = this.affinities.get(`${domid}.${vcpu}`)
      this.affinities.set(`${domid}.${vcpu}`, { ...now, ...change })
    },
    getSchedTerms: (domid: Domid) => this.weights.get(domid) ?? { weight: 256, cap: 0 },
    setSchedTerms: (domid: Domid, _scheduler: number, terms: SchedTerms) =>
      void this.weights.set(domid, terms),
    getPoolTerms: () => ({ ratelimitUs: 1000, sliceMs: 0, migrationDelayUs: 0 }),
    setDomainHandle: (domid: Domid, handle: Uint8Array) => this.#set(domid, { handle }),
    setHvmParam: (domid: Domid, parameter: number, value: number) =>
      void this.domain(domid).parameters.set(parameter, value),
    populateRange: (domid: Domid, _first: Gfn, count: number, order: number) => {
      this.#set(domid, { totalPages: this.domain(domid).info.totalPages + (count << order) })
      return count
    },
    claimPages: () => {},
    populateLater: (_domid: Domid, _first: Gfn, count: number) => count,
    setPodTarget: () => {},
    getHvmContext: () => emptyContext(),
    setHvmContext: (domid: Domid, bytes: Uint8Array) => {
      this.domain(domid).context = bytes
    },
    getVcpuInfo: () => ({ online: true, blocked: true, running: false, cpuTimeNs: 0, cpu: 0 }),
    getVcpuAffinity: () => ({ hard: Uint8Array.of(0xff), soft: Uint8Array.of(0xff) }),
    maximumGpfn: (domid: Domid) => Math.max(0, ...this.domain(domid).pages.keys()),
    readConsole: () => new TextEncoder().encode(this.logText),
    cpupoolFreeCpus: () => new Uint8Array(1),
    schedId: () => 6,
    cpuTopology: () => [{ core: 0, socket: 0, node: 0 }],
    numaNodes: () => [{
      sizeBytes: 2 ** 32, freeBytes: this.freePages * 4096, distances: [10],
    }],
    getNodeAffinity: () => Uint8Array.of(1),
    physinfo: () => ({
      nrCpus: 1, maxCpuId: 0, nrNodes: 1, threadsPerCore: 1, coresPerSocket: 1, cpuKhz: 2_000_000,
      totalPages: 1 << 20, freePages: this.freePages, scrubPages: 0, outstandingPages: 0,
      maxMfn: 1 << 20, hwCap: [1, 2, 3, 4, 5, 6, 7, 8], capabilities: 0x3b,
    }),
    version: () => ({
      major: 4, minor: 17, extra: '.7', capabilities: 'xen-3.0-x86_64 hvm-3.0-x86_64 ',
      changeset: '', commandLine: '', buildId: '', pageSize: 4096,
      virtStart: 0xffff800000000000n, compiler: 'c', compileBy: 'b', compileDomain: 'd',
      compileDate: 'date',
    }),
  }

  readonly events: EventChannels = {
    allocUnbound: (domid) => asEvtchnPort(this.domain(domid).nextPort++),
    bindInterdomain: () => asEvtchnPort(this.nextPort++),
    bindVirq: (virq) => {
      const port = this.nextPort++
      if (virq === VIRQ_DOM_EXC) this.virqPort = port
      return asEvtchnPort(port)
    },
    notify: () => {},
    unbind: (port: EvtchnPort) => void this.handlers.delete(port),
    onEvent: (port, handler) => void this.handlers.set(port, handler),
  }

  readonly memory: ForeignMemory = {
    map: (domid, gfns) => {
      const domain = this.domain(domid)
      const mapping: Mapping = {
        length: gfns.length,
        page: (index) => domain.page(gfns[index] ?? 0),
        unmap: () => void domain.mapped.delete(mapping),
      }
      domain.mapped.add(mapping)
      return mapping
    },
    mapThose: (domid, gfns) => {
      const there = gfns.filter((gfn) => this.domain(domid).pages.has(gfn))
      return { gfns: there, mapping: this.memory.map(domid, there) }
    },
    write: (domid, physicalAddress, bytes) => {
      const domain = this.domain(domid)
      for (let i = 0; i < bytes.length; i += 4096) domain.page((physicalAddress + i) >> 12)
    },
    read: (_domid, _physicalAddress, length) => new Uint8Array(length),
  }

  readonly grants: GrantTable = {
    map: (domid, refs) => this.memory.map(domid, refs.map((ref) => ref as number as Gfn)),
    copyFrom: (_domid, pieces) => pieces.map(() => false),
    copyTo: (_domid, pieces) => pieces.map(() => false),
    seed: (domid, ref, to, frame) =>
      void this.domain(domid).granted.push(`${ref} d${to} ${frame.toString(16)}`),
  }

  #set(domid: Domid, change: Partial<DomainInfo>): void {
    const domain = this.domain(domid)
    domain.info = { ...domain.info, ...change }
  }
}

function emptyContext(): Uint8Array {
  const bytes = new Uint8Array(2 * HvmSaveDescriptor.size + HvmSaveHeader.size)
  const header = HvmSaveDescriptor.on(bytes, 0)
  header.typecode = HVM_SAVE_CODE_HEADER
  header.length = HvmSaveHeader.size
  const end = HvmSaveDescriptor.on(bytes, HvmSaveDescriptor.size + HvmSaveHeader.size)
  end.typecode = HVM_SAVE_CODE_END
  return bytes
}

/** A host whose files are given and whose timers run when told. */
export class FakeHost implements ToolstackHost {
  readonly files = new Map<string, Uint8Array>()
  readonly timers = new Set<{ readonly at: number, readonly work: () => void }>()
  readonly log = silentLog
  /** Who is told of connections, by the socket's path. */
  readonly sockets = new Map<string, (stream: ByteStream) => void>()
  coreDumpPath = (name: string): string => `/dump/${name}`
  nowMs = 1_795_375_541_230
  readonly decompressor = {
    gunzip: (input: Uint8Array) => input, unzstd: (input: Uint8Array) => input,
  }

  readonly images = {
    files: new MemoryFiles(),
    decompressor: { ...this.decompressor, inflateRaw: (input: Uint8Array) => input },
  }

  async listen(path: string, accept: (stream: ByteStream) => void): Promise<Listener> {
    if (this.files.has(path)) throw new Error('there is a file of that name')
    this.sockets.set(path, accept)
    return { close: () => void this.sockets.delete(path) }
  }

  /** Of each only the other end. */
  readonly ptys: FakeStream[] = []

  openPty(): Pty {
    const [mine, theirs] = fakePair()
    this.ptys.push(theirs)
    return Object.assign(mine, { path: `/dev/pts/${this.ptys.length - 1}` })
  }

  readonly logs = new Map<string, string>()

  async keepLog(name: string, bytes: Uint8Array): Promise<void> {
    this.logs.set(name, new TextDecoder().decode(bytes))
  }

  async readFile(path: string): Promise<Uint8Array> {
    const bytes = this.files.get(path)
    if (!bytes) throw new Error('No such file or directory')
    return bytes
  }

  async fetchFile(url: string): Promise<Uint8Array> {
    return this.readFile(url)
  }

  largeBuffersDropped(): void {
    // Nothing is large here.
  }

  wallClockMs(): number {
    return this.nowMs
  }

  random(count: number): Uint8Array {
    return new Uint8Array(count).fill(0x5a)
  }

  schedule(work: () => void): void {
    queueMicrotask(work)
  }

  delay(ms: number, work: () => void): () => void {
    const timer = { at: this.nowMs + ms, work }
    this.timers.add(timer)
    return () => void this.timers.delete(timer)
  }

  /** Lets time pass, and what waits in the event loop happen. */
  async pass(ms: number): Promise<void> {
    this.nowMs += ms
    for (const timer of [...this.timers]) {
      if (timer.at > this.nowMs) continue
      this.timers.delete(timer)
      timer.work()
    }
    await new Promise((resolve) => setTimeout(resolve, 0))
  }
}

/** A specification that the fake host can satisfy. */
export const sampleSpec: DomainSpec = {
  name: 'guest', uuid: '8d2371f8-f99e-46ff-a1d1-81c35d9e3911', type: 'pvh', kernel: '/kernel',
  commandLine: 'console=hvc0', memoryKib: 262144, maxMemoryKib: 262144, vcpus: 1, maxVcpus: 1,
  tscMode: 0, onPoweroff: 'destroy', onReboot: 'restart', onCrash: 'destroy',
  onWatchdog: 'destroy', onSoftReset: 'soft-reset',
}
