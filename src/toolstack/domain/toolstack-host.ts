/**
 * What the toolstack needs of the machine it runs on, given from outside.
 */
import type { Log } from '../../base/log.ts'
import type { ImageHost } from '../../storage/open.ts'
import type { ByteStream } from '../host/stream.ts'
import type { ImageSource } from './image-plan.ts'

/** A socket that is listened at. */
export interface Listener {
  close(): void
}

/** A stream whose other end has a name in the file system. */
export interface Pty extends ByteStream {
  readonly path: string
}

export interface ToolstackHost extends ImageSource {
  /** For disk images. */
  readonly images: ImageHost
  readonly log: Log
  /** Listens at a Unix socket, in place of one of that name, but of nothing else. */
  listen(path: string, accept: (stream: ByteStream) => void): Promise<Listener>
  /** A pseudo-terminal; undefined when there can be none. */
  openPty(): Pty | undefined
  /** A new file's path for the dump of a domain that ended. */
  coreDumpPath(name: string): string
  /** Keeps what a program said for who wants to know later; that this fails hurts nobody. */
  keepLog(name: string, bytes: Uint8Array): Promise<void>
  wallClockMs(): number
  /** `count` random bytes. */
  random(count: number): Uint8Array
  /** Runs `work` in a later turn of the event loop. */
  schedule(work: () => void): void
  /** Runs `work` after `ms`; the result cancels it. */
  delay(ms: number, work: () => void): () => void
  /** A good moment to collect garbage. */
  largeBuffersDropped(): void
}
