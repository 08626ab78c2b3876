/**
 * For tests only: two ends of a connection in one process, delivering in later turns.
 */
import type { ByteStream } from './stream.ts'

export class FakeStream implements ByteStream {
  peer: FakeStream | undefined
  /** While set, everything written says "wait". */
  full = false
  #data: ((bytes: Uint8Array) => void) | undefined
  #drain: (() => void)[] = []
  #close: (() => void)[] = []
  #queue: Uint8Array[] = []
  #paused = false
  #closed = false
  #ended = false

  write(bytes: Uint8Array): boolean {
    if (!this.#ended && !this.#closed) this.peer?.push(bytes.slice())
    return !this.full
  }

  end(): void {
    this.#ended = true
    const { peer } = this
    queueMicrotask(() => {
      peer?.finish()
      this.finish()
    })
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    queueMicrotask(() => this.#flush())
  }

  onData(handler: (bytes: Uint8Array) => void): void {
    this.#data = handler
    queueMicrotask(() => this.#flush())
  }

  onDrain(handler: () => void): void {
    this.#drain.push(handler)
  }

  onClose(handler: () => void): void {
    this.#close.push(handler)
  }

  push(bytes: Uint8Array): void {
    this.#queue.push(bytes)
    queueMicrotask(() => this.#flush())
  }

  drain(): void {
    this.full = false
    for (const handler of this.#drain) handler()
  }

  finish(): void {
    if (this.#closed) return
    this.#flush()
    this.#closed = true
    for (const handler of this.#close) handler()
  }

  #flush(): void {
    while (!this.#paused && this.#data && this.#queue.length > 0) {
      this.#data(this.#queue.shift() ?? new Uint8Array(0))
    }
  }
}

/** A connection's two ends. */
export function fakePair(): [FakeStream, FakeStream] {
  const [one, two] = [new FakeStream(), new FakeStream()]
  one.peer = two
  two.peer = one
  return [one, two]
}
