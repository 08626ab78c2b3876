/**
 * A host file in memory, for tests: it can fail on demand, and tell what was written when.
 */
import { type HostFile, HostFileError, type HostFiles, type Piece } from '../base/host-file.ts'

export class MemoryFile implements HostFile {
  readonly path: string
  readonly isDevice = false
  writable = true
  bytes = new Uint8Array(0)
  sizeBytes = 0
  flushes = 0
  reads = 0
  /** Whether it is likely to be as fast as it is. */
  isPrompt = true
  /** Asked before each write; true makes it fail as on a full disk. */
  isFull: (at: number, lengthBytes: number) => boolean = () => false
  /** Told after each write. */
  wrote: () => void = () => {}

  constructor(path: string, bytes = new Uint8Array(0)) {
    this.path = path
    this.bytes = bytes
    this.sizeBytes = bytes.length
  }

  content(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.sizeBytes)
  }

  async read(at: number, into: Uint8Array): Promise<number> {
    return this.#read(at, [into])
  }

  async write(at: number, from: Uint8Array): Promise<void> {
    this.#write(at, [from])
  }

  readNow(at: number, into: readonly Uint8Array[]): number | undefined {
    return this.isPrompt ? this.#read(at, into) : undefined
  }

  writeNow(at: number, from: readonly Uint8Array[]): boolean {
    if (this.isPrompt) this.#write(at, from)
    return this.isPrompt
  }

  #read(at: number, into: readonly Uint8Array[]): number {
    let done = 0
    for (const piece of into) {
      const start = Math.min(at + done, this.sizeBytes)
      const part = this.bytes.subarray(start, Math.min(start + piece.length, this.sizeBytes))
      piece.set(part)
      done += part.length
    }
    this.reads += 1
    return done
  }

  #write(at: number, from: readonly Uint8Array[]): void {
    const lengthBytes = from.reduce((sum, { length }) => sum + length, 0)
    if (this.isFull(at, lengthBytes)) throw new HostFileError('no space', `${this.path}: full`)
    this.#grow(at + lengthBytes)
    let done = 0
    for (const piece of from) {
      this.bytes.set(piece, at + done)
      done += piece.length
    }
    this.wrote()
  }

  async writeInOrder(pieces: readonly Piece[]): Promise<void> {
    for (const { at, bytes } of pieces) await this.write(at, bytes)
  }

  async flush(): Promise<void> {
    this.flushes += 1
  }

  async truncate(sizeBytes: number): Promise<void> {
    if (this.isFull(sizeBytes, 0)) throw new HostFileError('no space', `${this.path}: full`)
    this.#grow(sizeBytes)
    this.bytes.fill(0, sizeBytes)
    this.sizeBytes = sizeBytes
  }

  async punchHole(at: number, lengthBytes: number): Promise<boolean> {
    this.bytes.fill(0, at, at + lengthBytes)
    return true
  }

  async close(): Promise<void> {}

  #grow(sizeBytes: number): void {
    if (sizeBytes > this.bytes.length) {
      const larger = new Uint8Array(Math.max(sizeBytes, this.bytes.length * 2))
      larger.set(this.bytes.subarray(0, this.sizeBytes))
      this.bytes = larger
    }
    this.sizeBytes = Math.max(this.sizeBytes, sizeBytes)
  }
}

/** A flat folder of files in memory. */
export class MemoryFiles implements HostFiles {
  readonly files = new Map<string, MemoryFile>()

  async open(path: string): Promise<MemoryFile> {
    const file = this.files.get(path)
    if (!file) throw new HostFileError('not found', `${path}: No such file or directory`)
    return file
  }

  async create(path: string): Promise<MemoryFile> {
    const file = new MemoryFile(path)
    this.files.set(path, file)
    return file
  }

  resolve(_path: string, named: string): string {
    return named
  }

  relative(_path: string, target: string): string {
    return target
  }
}
