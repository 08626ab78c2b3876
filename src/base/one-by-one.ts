/**
 * Operations of the host one after the other, so that the order in which they end is the order in
 * which they were asked for, and somebody can tell whether any is left.
 */
import type { HostFile, HostFiles, Piece } from './host-file.ts'

export class OneByOne {
  #last: Promise<unknown> = Promise.resolve()
  #left = 0

  /** Nothing is being done. */
  get isIdle(): boolean {
    return this.#left === 0
  }

  /** Does `work` once all before is done. */
  async do<T>(work: () => Promise<T>): Promise<T> {
    this.#left += 1
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    try {
      return await done
    } finally {
      this.#left -= 1
    }
  }

  /** Files whose operations are done so. */
  files(files: HostFiles): HostFiles {
    const open = (opened: () => Promise<HostFile>): Promise<HostFile> =>
      this.do(async () => new OrderedFile(await opened(), this))
    return {
      open: (path, access) => open(() => files.open(path, access)),
      create: (path) => open(() => files.create(path)),
      resolve: (path, named) => files.resolve(path, named),
      relative: (path, target) => files.relative(path, target),
    }
  }
}

class OrderedFile implements HostFile {
  readonly path: string
  readonly writable: boolean
  readonly isDevice: boolean
  readonly #file: HostFile
  readonly #order: OneByOne

  constructor(file: HostFile, order: OneByOne) {
    this.path = file.path
    this.writable = file.writable
    this.isDevice = file.isDevice
    this.#file = file
    this.#order = order
  }

  get sizeBytes(): number { return this.#file.sizeBytes }

  read(at: number, into: Uint8Array): Promise<number> {
    return this.#order.do(() => this.#file.read(at, into))
  }

  write(at: number, from: Uint8Array): Promise<void> {
    return this.#order.do(() => this.#file.write(at, from))
  }

  /** Whether it would be likely is a matter of time. */
  readNow(): undefined {}

  writeNow(): boolean {
    return false
  }

  writeInOrder(pieces: readonly Piece[]): Promise<void> {
    return this.#order.do(() => this.#file.writeInOrder(pieces))
  }

  flush(): Promise<void> {
    return this.#order.do(() => this.#file.flush())
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#order.do(() => this.#file.truncate(sizeBytes))
  }

  punchHole(at: number, lengthBytes: number): Promise<boolean> {
    return this.#order.do(() => this.#file.punchHole(at, lengthBytes))
  }

  close(): Promise<void> {
    return this.#order.do(() => this.#file.close())
  }
}
