/**
 * The host process's side of the socket: takes connections, answers requests, carries consoles.
 *
 * Whoever connects is trusted to control domains (the socket's folder sees to that) but not to be
 * correct: no line, however wrong, ends more than its own connection. When no domain and no
 * connection is left for a while, the host is told that it may end.
 */
import { Bug } from '../../base/assert.ts'
import { ConsoleBuffer } from '../../backends/console-buffer.ts'
import { CONSOLE_LIMIT } from '../../backends/console.ts'
import { ERROR_FAIL, ERROR_INVAL, type ConsoleSession, type Libxl, LibxlError } from
  '../domain/libxl.ts'
import { checkDevice, checkDeviceKind, checkOptionalPath, checkPath } from './check-device.ts'
import {
  checkAffinity, checkCount, checkDomid, checkName, checkOptions, checkSpec,
} from './check-spec.ts'
import { cpuMethods } from './cpu-control.ts'
import { hotplugMethods } from './hotplug.ts'
import {
  encodeLine, failureOf, LineReader, PROTOCOL_VERSION, recordOf, type Reply,
} from './protocol.ts'
import type { ByteStream } from './stream.ts'

/** What the server needs of its process. */
export interface ServerHost {
  readonly pid: number
  /** How many domains there are. */
  domainCount(): number
  /** Runs `work` after `ms`; the result cancels it. */
  delay(ms: number, work: () => void): () => void
  /** For the operator. */
  log(message: string): void
  /** Nothing is left to do, or a client asked for the end. */
  end(): void
  /** A mistake of ours: the process must not go on. */
  fatal(error: unknown): void
}

export const IDLE_MS = 60_000
/** Who connects says hello within this time. */
const HELLO_MS = 10_000
const CONNECTIONS_LIMIT = 256
const REQUESTS_LIMIT = 64

/** `made` tells the client of a domain that is being made. */
type Method = (
  libxl: Libxl, params: readonly unknown[], made: (domid: number) => void,
) => Promise<unknown>

const methods: Readonly<Record<string, Method>> = {
  info: (libxl) => libxl.info(),
  list: (libxl) => libxl.list(),
  vcpus: (libxl, [domid]) => libxl.vcpus(checkDomid(domid)),
  cpupools: (libxl) => libxl.cpupools(),
  create: (libxl, [spec, options], made) =>
    libxl.create(checkSpec(spec), checkOptions(options), made),
  spec: (libxl, [domid]) => libxl.spec(checkDomid(domid)),
  destroy: (libxl, [domid]) => libxl.destroy(checkDomid(domid)),
  pause: (libxl, [domid]) => libxl.pause(checkDomid(domid)),
  unpause: (libxl, [domid]) => libxl.unpause(checkDomid(domid)),
  shutdown: (libxl, [domid]) => libxl.shutdown(checkDomid(domid)),
  reboot: (libxl, [domid]) => libxl.reboot(checkDomid(domid)),
  rename: (libxl, [domid, name]) => libxl.rename(checkDomid(domid), checkName(name)),
  setRestartSpec: (libxl, [domid, spec]) =>
    libxl.setRestartSpec(checkDomid(domid), checkSpec(spec)),
  setMemoryTarget: (libxl, [domid, kib]) =>
    libxl.setMemoryTarget(checkDomid(domid), checkCount(kib)),
  setMaxMemory: (libxl, [domid, kib]) => libxl.setMaxMemory(checkDomid(domid), checkCount(kib)),
  setOnlineVcpus: (libxl, [domid, count]) =>
    libxl.setOnlineVcpus(checkDomid(domid), checkCount(count)),
  devices: (libxl, [domid, kind]) => libxl.devices(checkDomid(domid), checkDeviceKind(kind)),
  attachDevice: (libxl, [domid, kind, spec]) => {
    const known = checkDeviceKind(kind)
    return libxl.attachDevice(checkDomid(domid), known, checkDevice(known, spec))
  },
  detachDevice: (libxl, [domid, kind, name, force]) =>
    libxl.detachDevice(checkDomid(domid), checkDeviceKind(kind), checkName(name), force === true),
  resizeDisk: (libxl, [domid, vdev, size]) =>
    libxl.resizeDisk(checkDomid(domid), checkName(vdev), checkCount(size)),
  insertMedium: (libxl, [domid, vdev, path]) =>
    libxl.insertMedium(checkDomid(domid), checkName(vdev), checkOptionalPath(path)),
  dumpCore: (libxl, [domid, path]) => libxl.dumpCore(checkDomid(domid), checkPath(path)),
  sendSysrq: (libxl, [domid, key]) => libxl.sendSysrq(checkDomid(domid), checkName(key)),
  sendTrigger: (libxl, [domid, trigger, vcpu]) =>
    libxl.sendTrigger(checkDomid(domid), checkName(trigger), checkCount(vcpu)),
  setVcpuAffinity: (libxl, [domid, vcpu, change]) =>
    libxl.setVcpuAffinity(checkDomid(domid), checkCount(vcpu), checkAffinity(change)),
  ...cpuMethods,
  ...hotplugMethods,
  waitForEnd: (libxl, [domid]) => libxl.waitForEnd(checkDomid(domid)),
  successor: (libxl, [domid]) => libxl.successor(checkDomid(domid)),
  readLog: (libxl, [clear]) => libxl.readLog(clear === true),
  sendDebugKeys: (libxl, [keys]) => libxl.sendDebugKeys(typeof keys === 'string' ? keys : ''),
  ping: async () => null,
}

export class HostServer {
  readonly #libxl: Libxl
  readonly #host: ServerHost
  #connections = 0
  #cancelIdle: (() => void) | undefined

  constructor(libxl: Libxl, host: ServerHost) {
    this.#libxl = libxl
    this.#host = host
    this.#watchIdle()
  }

  /** Serves one more client. */
  accept(stream: ByteStream): void {
    this.#connections++
    this.#cancelIdle?.()
    stream.onClose(() => {
      this.#connections--
      this.#watchIdle()
    })
    if (this.#connections > CONNECTIONS_LIMIT) {
      this.#refuse(stream, new LibxlError(ERROR_FAIL, 'too many connections'))
      return
    }
    const lines = new LineReader()
    const cancel = this.#host.delay(HELLO_MS, () => stream.end())
    stream.onClose(cancel)
    let handle: ((bytes: Uint8Array) => void) | undefined
    stream.onData((bytes) => {
      if (handle) return handle(bytes)
      const line = lines.next(bytes)
      if (line === undefined) return
      cancel()
      handle = this.#greet(stream, lines, line === 'bad' ? undefined : line.value)
    })
  }

  /** Answers a hello; what handles the bytes from then on. */
  #greet(stream: ByteStream, lines: LineReader, hello: unknown): (bytes: Uint8Array) => void {
    const record = recordOf(hello)
    if (record?.['xenolith'] !== PROTOCOL_VERSION) {
      this.#refuse(stream, new LibxlError(ERROR_INVAL,
        `the host process speaks version ${PROTOCOL_VERSION} of xl's protocol`))
      return () => {}
    }
    if (record['kind'] === 'console') return this.#console(stream, lines, record)
    stream.write(encodeLine({ xenolith: PROTOCOL_VERSION, pid: this.#host.pid }))
    const serve = this.#control(stream, lines)
    serve(new Uint8Array(0))
    return serve
  }

  #refuse(stream: ByteStream, error: unknown): void {
    stream.write(encodeLine({ xenolith: PROTOCOL_VERSION, error: failureOf(error) }))
    stream.end()
  }

  #control(stream: ByteStream, lines: LineReader): (bytes: Uint8Array) => void {
    let running = 0
    let open = true
    /** Domains that are being made, by the number of the request. */
    const unfinished = new Map<number, number>()
    stream.onClose(() => {
      open = false
      for (const domid of unfinished.values()) this.#abandon(domid)
    })
    return (bytes) => {
      for (let line = lines.next(bytes); line !== undefined; line = lines.next()) {
        const request = line === 'bad' ? undefined : recordOf(line.value)
        const id = request?.['id']
        if (!open) return
        if (!request || typeof id !== 'number' || running >= REQUESTS_LIMIT) {
          open = false
          return stream.end()
        }
        running++
        const made = (domid: number): void => {
          if (!open) return this.#abandon(domid)
          unfinished.set(id, domid)
          stream.write(encodeLine({ id, made: domid }))
        }
        void this.#answer(id, request, made).then((reply) => {
          running--
          unfinished.delete(id)
          if (open) stream.write(encodeLine(reply))
        })
      }
    }
  }

  /** Nobody waits any more for a domain that is being made. */
  #abandon(domid: number): void {
    this.#libxl.destroy(domid).catch((error: unknown) => {
      if (!(error instanceof LibxlError)) this.#host.fatal(error)
    })
  }

  async #answer(
    id: number, request: Readonly<Record<string, unknown>>, made: (domid: number) => void,
  ): Promise<Reply> {
    const name = String(request['method'])
    const params = Array.isArray(request['params']) ? request['params'] as unknown[] : []
    try {
      if (name === 'end') {
        this.#host.delay(0, () => this.#host.end())
        return { id, result: null }
      }
      const method = Object.hasOwn(methods, name) ? methods[name] : undefined
      if (!method) throw new LibxlError(ERROR_INVAL, `no such request: ${name}`)
      return { id, result: (await method(this.#libxl, params, made)) ?? null }
    } catch (error) {
      if (error instanceof Bug) this.#host.fatal(error)
      return { id, error: failureOf(error) }
    }
  }

  /** Carries a console. A client that does not read loses the oldest, as if nobody had attached. */
  #console(
    stream: ByteStream, lines: LineReader, { domid, number = 0 }: Readonly<Record<string, unknown>>,
  ): (bytes: Uint8Array) => void {
    const waiting = new ConsoleBuffer(CONSOLE_LIMIT)
    const typed: Uint8Array[] = [lines.takeRest()]
    let session: ConsoleSession | undefined
    let blocked = false
    let open = true
    let ended = false
    const send = (bytes: Uint8Array): void => {
      if (!open) return
      if (blocked) waiting.push(bytes)
      else blocked = !stream.write(bytes)
    }
    stream.onDrain(() => {
      blocked = false
      if (waiting.size > 0) send(waiting.takeAll())
      if (ended && waiting.size === 0) stream.end()
    })
    stream.onClose(() => {
      open = false
      session?.detach()
    })
    const type = (bytes: Uint8Array): void => {
      if (!session) {
        typed.push(bytes)
        stream.pause()
      } else if (bytes.length > 0 && !session.write(bytes)) {
        stream.pause()
        session.whenRoom(() => stream.resume())
      }
    }
    const attach = async (): Promise<void> => {
      const known = checkDomid(domid)
      if (!await this.#libxl.spec(known)) {
        throw new LibxlError(ERROR_FAIL, `unable to get domain type for domid=${known}`)
      }
      stream.write(encodeLine({ xenolith: PROTOCOL_VERSION, pid: this.#host.pid }))
      session = await this.#libxl.attachConsole(known, {
        output: send,
        closed: () => {
          ended = true
          if (waiting.size === 0) stream.end()
        },
      }, checkDomid(number))
      this.#host.log(`console of domain ${known} attached`)
      if (!open) session.detach()
      stream.resume()
      for (const bytes of typed) type(bytes)
    }
    attach().catch((error: unknown) => {
      if (error instanceof Bug) this.#host.fatal(error)
      this.#refuse(stream, error)
    })
    return type
  }

  #watchIdle(): void {
    this.#cancelIdle?.()
    this.#cancelIdle = this.#host.delay(IDLE_MS, () => {
      if (this.#connections > 0) return
      if (this.#host.domainCount() === 0) this.#host.end()
      else this.#watchIdle()
    })
  }
}
