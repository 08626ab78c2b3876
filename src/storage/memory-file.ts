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
    this.reads += 1
    const part = this.bytes.subarray(
      Math.min(at, this.sizeBytes), Math.min(at + into.length, this.sizeBytes))
    into.set(part)
    return part.length
  }

  async write(at: number, from: Uint8Array): Promise<void> {
    if (this.isFull(at, from.length)) throw new HostFileError('no space', `${this.path}: full`)
    this.#grow(at + from.length)
    this.bytes.set(from, at)
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
