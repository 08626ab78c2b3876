/**
 * xl's side of the socket: the toolstack's interface, answered by the host process.
 */
import {
  type AffinityChange, type ConsoleSession, type ConsoleSink, type CpupoolSummary,
  type CreateOptions, type DeviceKind, type DeviceKinds, type DomainEnd, type DomainSpec,
  type DomainSummary, ERROR_FAIL, type HostInfo, type Libxl, LibxlError,
  type VcpuSummary,
} from '../domain/libxl.ts'
import { remoteCpuControl } from './cpu-control.ts'
import { remoteHotplug } from './hotplug.ts'
import {
  encodeLine, errorOf, type Failure, type Hello, LineReader, PROTOCOL_VERSION, recordOf,
} from './protocol.ts'
import type { ByteStream } from './stream.ts'

/** The host process went away, or was never there. */
export class HostGone extends LibxlError {
  constructor() {
    super(ERROR_FAIL, 'host process ended')
  }
}

interface Pending {
  /** A domain is being made. */
  made(domid: number): void
  resolve(value: unknown): void
  reject(error: LibxlError): void
}

/** Opens a connection, says hello, and gives the stream once the host has welcomed it. */
async function greet(
  connect: () => Promise<ByteStream>, hello: Hello,
): Promise<{ readonly stream: ByteStream, readonly lines: LineReader }> {
  const stream = await connect()
  const lines = new LineReader()
  await new Promise<void>((resolve, reject) => {
    let settled = false
    stream.onClose(() => reject(new HostGone()))
    stream.onData((bytes) => {
      if (settled) return
      const line = lines.next(bytes)
      if (line === undefined) return
      settled = true
      const welcome = line === 'bad' ? undefined : recordOf(line.value)
      const failure = welcome?.['error']
      if (failure) reject(errorOf(failure as Failure))
      else if (welcome?.['xenolith'] === PROTOCOL_VERSION) resolve()
      else reject(new LibxlError(ERROR_FAIL, 'the socket is not that of a host process'))
      stream.pause()
    })
    stream.write(encodeLine(hello))
  })
  return { stream, lines }
}

export class RemoteLibxl implements Libxl {
  readonly #connect: () => Promise<ByteStream>
  readonly #stream: ByteStream
  readonly #lines: LineReader
  readonly #pending = new Map<number, Pending>()
  readonly cpus = remoteCpuControl((method, ...params) => this.#call(method, ...params))
  readonly hotplug = remoteHotplug((method, ...params) => this.#call(method, ...params))
  #nextId = 1
  #closed = false

  private constructor(
    connect: () => Promise<ByteStream>, stream: ByteStream, lines: LineReader,
  ) {
    this.#connect = connect
    this.#stream = stream
    this.#lines = lines
    stream.onData((bytes) => this.#receive(bytes))
    stream.onClose(() => this.#gone())
    stream.resume()
  }

  /** Connects to a host process; `connect` opens one stream to its socket. */
  static async open(connect: () => Promise<ByteStream>): Promise<RemoteLibxl> {
    const { stream, lines } = await greet(connect, { xenolith: PROTOCOL_VERSION, kind: 'control' })
    return new RemoteLibxl(connect, stream, lines)
  }

  close(): void {
    this.#stream.end()
  }

  /** Resolves while the host process lives, rejects with HostGone otherwise. */
  async ping(): Promise<void> {
    await this.#call('ping')
  }

  /** Asks the host process to end, domains and all. */
  async end(): Promise<void> {
    await this.#call('end')
  }

  info(): Promise<HostInfo> {
    return this.#call('info')
  }

  list(): Promise<DomainSummary[]> {
    return this.#call('list')
  }

  vcpus(domid: number): Promise<VcpuSummary[]> {
    return this.#call('vcpus', domid)
  }

  cpupools(): Promise<CpupoolSummary[]> {
    return this.#call('cpupools')
  }

  create(
    spec: DomainSpec, options: CreateOptions, made: (domid: number) => void = () => {},
  ): Promise<number> {
    return this.#request(made, 'create', spec, options)
  }

  async spec(domid: number): Promise<DomainSpec | undefined> {
    return (await this.#call<DomainSpec | null>('spec', domid)) ?? undefined
  }

  destroy(domid: number): Promise<void> {
    return this.#call('destroy', domid)
  }

  pause(domid: number): Promise<void> {
    return this.#call('pause', domid)
  }

  unpause(domid: number): Promise<void> {
    return this.#call('unpause', domid)
  }

  shutdown(domid: number): Promise<void> {
    return this.#call('shutdown', domid)
  }

  reboot(domid: number): Promise<void> {
    return this.#call('reboot', domid)
  }

  rename(domid: number, name: string): Promise<void> {
    return this.#call('rename', domid, name)
  }

  setRestartSpec(domid: number, spec: DomainSpec): Promise<void> {
    return this.#call('setRestartSpec', domid, spec)
  }

  setMemoryTarget(domid: number, kib: number): Promise<void> {
    return this.#call('setMemoryTarget', domid, kib)
  }

  setMaxMemory(domid: number, kib: number): Promise<void> {
    return this.#call('setMaxMemory', domid, kib)
  }

  setOnlineVcpus(domid: number, count: number): Promise<void> {
    return this.#call('setOnlineVcpus', domid, count)
  }

  devices<K extends DeviceKind>(domid: number, kind: K): Promise<DeviceKinds[K]['summary'][]> {
    return this.#call('devices', domid, kind)
  }

  attachDevice<K extends DeviceKind>(
    domid: number, kind: K, spec: DeviceKinds[K]['spec'],
  ): Promise<void> {
    return this.#call('attachDevice', domid, kind, spec)
  }

  async detachDevice(
    domid: number, kind: DeviceKind, name: string, force: boolean,
  ): Promise<number | undefined> {
    return (await this.#call<number | null>('detachDevice', domid, kind, name, force)) ?? undefined
  }

  resizeDisk(domid: number, vdev: string, sizeBytes: number): Promise<void> {
    return this.#call('resizeDisk', domid, vdev, sizeBytes)
  }

  insertMedium(domid: number, vdev: string, path: string | undefined): Promise<void> {
    return this.#call('insertMedium', domid, vdev, path)
  }

  dumpCore(domid: number, path: string): Promise<void> {
    return this.#call('dumpCore', domid, path)
  }

  sendSysrq(domid: number, key: string): Promise<void> {
    return this.#call('sendSysrq', domid, key)
  }

  sendTrigger(domid: number, trigger: string, vcpu: number): Promise<void> {
    return this.#call('sendTrigger', domid, trigger, vcpu)
  }

  setVcpuAffinity(domid: number, vcpu: number, change: AffinityChange): Promise<void> {
    return this.#call('setVcpuAffinity', domid, vcpu, change)
  }

  waitForEnd(domid: number): Promise<DomainEnd> {
    return this.#call('waitForEnd', domid)
  }

  async successor(domid: number): Promise<number | undefined> {
    return (await this.#call<number | null>('successor', domid)) ?? undefined
  }

  readLog(clear: boolean): Promise<string> {
    return this.#call('readLog', clear)
  }

  sendDebugKeys(keys: string): Promise<void> {
    return this.#call('sendDebugKeys', keys)
  }

  async attachConsole(domid: number, sink: ConsoleSink, number = 0): Promise<ConsoleSession> {
    const { stream, lines } = await greet(this.#connect,
      { xenolith: PROTOCOL_VERSION, kind: 'console', domid, number })
    let room: (() => void)[] = []
    const wake = (): void => {
      const waiting = room
      room = []
      for (const callback of waiting) callback()
    }
    let full = false
    let attached = true
    stream.onDrain(() => {
      full = false
      wake()
    })
    stream.onData((bytes) => {
      if (attached) sink.output(bytes)
    })
    stream.onClose(() => {
      wake()
      if (attached) sink.closed()
      attached = false
    })
    const first = lines.takeRest()
    if (first.length > 0) sink.output(first)
    stream.resume()
    return {
      write: (bytes) => !(full = !stream.write(bytes)),
      whenRoom: (callback) => {
        if (full) room.push(callback)
        else callback()
      },
      detach: () => {
        attached = false
        stream.end()
      },
    }
  }

  #call<T>(method: string, ...params: unknown[]): Promise<T> {
    return this.#request(() => {}, method, ...params)
  }

  #request<T>(
    made: (domid: number) => void, method: string, ...params: unknown[]
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(new HostGone())
      const id = this.#nextId++
      this.#pending.set(id, { made, resolve: (value) => resolve(value as T), reject })
      this.#stream.write(encodeLine({ id, method, params }))
    })
  }

  #receive(bytes: Uint8Array): void {
    for (let line = this.#lines.next(bytes); line !== undefined; line = this.#lines.next()) {
      const reply = line === 'bad' ? undefined : recordOf(line.value)
      const id = reply?.['id']
      const pending = typeof id === 'number' ? this.#pending.get(id) : undefined
      if (!reply || typeof id !== 'number' || !pending) {
        this.#stream.end()
        return
      }
      const domid = reply['made']
      if (typeof domid === 'number') {
        pending.made(domid)
        continue
      }
      this.#pending.delete(id)
      const failure = reply['error']
      if (failure) pending.reject(errorOf(failure as Failure))
      else pending.resolve(reply['result'])
    }
  }

  #gone(): void {
    this.#closed = true
    for (const pending of this.#pending.values()) pending.reject(new HostGone())
    this.#pending.clear()
  }
}
