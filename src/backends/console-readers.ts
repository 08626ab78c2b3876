/**
 * Who sees a console's output: readers, who all see the same, and mirrors, which see it too but
 * read it for nobody. What no reader has seen is kept up to a limit, the oldest lost first.
 */
import { ConsoleBuffer } from './console-buffer.ts'

/** Who sees output; `closed` is called once, when the domain's console is gone. */
export interface ConsoleReader {
  output(bytes: Uint8Array): void
  closed(): void
}

export class ConsoleReaders {
  readonly #backlog: ConsoleBuffer
  readonly #readers = new Set<ConsoleReader>()
  readonly #mirrors = new Set<ConsoleReader>()
  #closed = false

  constructor(limit: number) {
    this.#backlog = new ConsoleBuffer(limit)
  }

  /** Attaches a reader, who is given what nobody has read so far. */
  attach(reader: ConsoleReader): void {
    if (this.#backlog.size > 0) reader.output(this.#backlog.takeAll())
    if (this.#closed) reader.closed()
    else this.#readers.add(reader)
  }

  /** Attaches a mirror, which sees what comes from now on. */
  mirror(reader: ConsoleReader): void {
    if (this.#closed) reader.closed()
    else this.#mirrors.add(reader)
  }

  detach(reader: ConsoleReader): void {
    this.#readers.delete(reader)
    this.#mirrors.delete(reader)
  }

  /** `bytes` are the readers' to keep. */
  output(bytes: Uint8Array): void {
    if (this.#readers.size === 0) this.#backlog.push(bytes)
    for (const reader of this.#readers) reader.output(bytes)
    for (const mirror of this.#mirrors) mirror.output(bytes)
  }

  close(): void {
    this.#closed = true
    for (const reader of [...this.#readers, ...this.#mirrors]) reader.closed()
    this.#readers.clear()
    this.#mirrors.clear()
  }
}
