/**
 * The programming interface: `import { Host } from 'xenolith'`.
 *
 * A host is a machine in this process (`Host.start`) or the one that `xl` uses (`Host.attach`).
 * Both are used alike, and leave nothing behind once closed: no thread, no socket, no timer.
 */
import { randomUUID } from 'node:crypto'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { silentLog } from '../base/log.ts'
import { SeededRandom } from '../base/seeded-random.ts'
import { codeCachePath } from '../node/code-cache.ts'
import { connectHost, connectOrStart, HostProcessError } from '../node/host-process.ts'
import { runFolderPath, storeSocketName } from '../node/run-folder.ts'
import { connectUnix, type SocketStream } from '../node/unix-socket.ts'
import { HostSession } from '../toolstack/api/host.ts'
import { RemoteLibxl } from '../toolstack/host/client.ts'
import { AsyncStoreClient, MessageReader } from '../xenstore/async-client.ts'
import { encodeMessage } from '../xenstore/wire.ts'
import type { Xenstored } from '../xenstore/xenstored.ts'
import { startMachine } from './machine.ts'
import { coreCount, machineSize, MOST_MIB } from './wishes.ts'

export type { GuestConsole } from '../toolstack/api/console.ts'
export type { DetachOptions, Domain } from '../toolstack/api/domain.ts'
export type { DomainSettings } from '../toolstack/api/settings.ts'
export { ConsoleEnded } from '../toolstack/api/console.ts'
export { ConfigError } from '../toolstack/config/parser.ts'
export { LibxlError } from '../toolstack/domain/libxl.ts'

const hostProgram = fileURLToPath(new URL('host.ts', import.meta.url))

export interface StartOptions {
  /** The machine's memory in MiB, for all domains together; 4096 unless it says otherwise. */
  readonly memory?: number
  /** Its physical CPUs, each a thread; 1 unless it says otherwise. */
  readonly cores?: number
  /** Makes the machine deterministic: what happens follows from this text, and from when by virtual
   * time something is asked of it. */
  readonly seed?: string
  /** Told what the host process would write to its log. */
  readonly log?: (line: string) => void
  /** A core died of a mistake of ours. Unless it says otherwise the process ends with the error. */
  readonly failed?: (error: Error) => void
}

export interface AttachOptions {
  /** The folder of the host process's sockets: $XENOLITH_RUN, or this user's own. */
  readonly folder?: string
  /** Starts the host process when none runs. It ends by itself some time after its last domain. */
  readonly start?: boolean
}

export class Host extends HostSession {
  /** Starts a machine in this process. */
  static async start(options: StartOptions = {}): Promise<Host> {
    const { cores = 1, log, memory, seed } = options
    const tokens = seed === undefined ? undefined : new SeededRandom(`tokens of ${seed}`)
    const { libxl, xenstored, stop } = await startMachine({
      memoryMib: memory === undefined ? MOST_MIB : machineSize('memory', `${memory}`),
      cores: coreCount('cores', `${cores}`, seed !== undefined),
      codeCache: codeCachePath(process.env),
      deterministic: seed === undefined ? undefined : { seed },
      log: log ? { info: log, warn: log, error: log } : silentLog,
      failed: options.failed ?? fatal,
    })
    return new Host({
      libxl, store: localStore(xenstored), absolutePath: resolve,
      newToken: tokens ? () => `x${tokens.word().toString(16)}` : newToken,
      end: async () => {}, close: stop,
    })
  }

  /** Connects to the host process that `xl` uses. */
  static async attach(options: AttachOptions = {}): Promise<Host> {
    const environment = options.folder === undefined
      ? process.env : { ...process.env, XENOLITH_RUN: options.folder }
    const streams = new Set<Promise<void>>()
    const opened = (stream: SocketStream): SocketStream => {
      const closed = new Promise<void>((done) => stream.onClose(done))
      streams.add(closed)
      void closed.then(() => streams.delete(closed))
      return stream
    }
    const libxl = await RemoteLibxl.open(async () => {
      const stream = options.start
        ? await connectOrStart(environment, hostProgram) : await connectHost(environment)
      if (!stream) throw new HostProcessError('no host process runs')
      return opened(stream)
    })
    const close = async (): Promise<void> => {
      libxl.close()
      await Promise.all(streams)
    }
    try {
      const path = join(runFolderPath(environment), storeSocketName)
      const store = socketStore(opened(await connectUnix(path)))
      return new Host({
        libxl, store, newToken, absolutePath: resolve, end: () => libxl.end(), close,
      })
    } catch (error) {
      await close()
      throw error
    }
  }
}

function fatal(error: Error): void {
  setImmediate(() => {
    throw error
  })
}

function newToken(): string {
  return `x${randomUUID().replaceAll('-', '')}`
}

/** The store of a machine in this process. */
function localStore(xenstored: Xenstored): AsyncStoreClient {
  const connection = xenstored.connect((message) => client.receive(message))
  const client = new AsyncStoreClient({
    send: (message) => xenstored.handle(connection, message),
    close: () => xenstored.disconnect(connection),
  })
  return client
}

/** The store of the host process, through its socket. */
function socketStore(stream: SocketStream): AsyncStoreClient {
  const client = new AsyncStoreClient({
    send: (message) => void stream.write(encodeMessage(message)),
    close: () => stream.end(),
  })
  const reader = new MessageReader()
  stream.onData((bytes) => {
    for (const message of reader.take(bytes)) client.receive(message)
  })
  stream.onClose(() => client.close())
  return client
}
