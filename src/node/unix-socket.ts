/**
 * Unix sockets: streams to and from one, and a listener that only its user can reach.
 *
 * The name appears by renaming a socket that already listens, so whoever finds it can connect, and
 * a name left behind by a process that died is replaced in the same step.
 */
import { lstatSync, renameSync, rmSync, statSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** A connection's end. Errors close it: the other side is gone, whatever the reason. */
export class SocketStream {
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => socket.destroy())
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket.writable ? this.#socket.write(bytes) : true
  }

  /** Bytes written that the other end has not fetched. */
  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  end(): void {
    this.#socket.end()
    // A peer that never closes its side must not hold ours.
    this.#socket.once('finish', () => setImmediate(() => this.#socket.destroySoon()))
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  onData(handler: (bytes: Uint8Array) => void): void {
    this.#socket.removeAllListeners('data')
    this.#socket.on('data', handler)
  }

  onDrain(handler: () => void): void {
    this.#socket.on('drain', handler)
  }

  onClose(handler: () => void): void {
    if (this.#socket.destroyed) queueMicrotask(handler)
    else this.#socket.once('close', handler)
  }
}

/** Connects to the socket at `path`; rejects with the system's error. */
export function connectUnix(path: string): Promise<SocketStream> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.removeListener('error', reject)
      resolve(new SocketStream(socket))
    })
  })
}

/** A socket with a name; `close` removes the name if it is still this socket's. */
export class UnixListener {
  readonly path: string
  readonly #server: Server
  readonly #inode: number

  private constructor(path: string, server: Server) {
    this.path = path
    this.#server = server
    this.#inode = statSync(path).ino
  }

  /** Listens at `path`, mode 0600, taking the place of whatever had that name. */
  static listen(path: string, accept: (stream: SocketStream) => void): Promise<UnixListener> {
    return new Promise((resolve, reject) => {
      const server = createServer((socket) => accept(new SocketStream(socket)))
      server.once('error', reject)
      const temporary = `${path}.${process.pid}`
      rmSync(temporary, { force: true })
      const mask = process.umask(0o177)
      server.listen(temporary, () => {
        server.removeListener('error', reject)
        server.on('error', () => {})
        try {
          renameSync(temporary, path)
          resolve(new UnixListener(path, server))
        } catch (error) {
          server.close()
          reject(error as Error)
        }
      })
      process.umask(mask)
    })
  }

  /** Whether the name still leads here. */
  get isCurrent(): boolean {
    try {
      return statSync(this.path).ino === this.#inode
    } catch {
      return false
    }
  }

  close(): void {
    if (this.isCurrent) rmSync(this.path, { force: true })
    this.#server.close()
  }
}

/** Listens at a path of the user's: it takes the place of a socket there, and of nothing else. */
export async function listenUnix(
  path: string, accept: (stream: SocketStream) => void,
): Promise<UnixListener> {
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (there && !there.isSocket()) throw new Error('there is a file of that name')
  return UnixListener.listen(path, accept)
}
