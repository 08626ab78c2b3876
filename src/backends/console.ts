/**
 * xenconsoled's duty: the host's end of a PV console.
 *
 * Obeys xen/include/public/io/console.h. The page belongs to the guest: indexes are read once and
 * bounded, an impossible one means there is nothing to take. Output never waits for a reader
 * (xenstore's console/limit). Input waits until the guest has room, and whoever types is told to
 * wait.
 */
import { XENCONS_IN_SIZE, XENCONS_OUT_SIZE, XenconsInterface } from '../abi/xen/io/console.ts'

const { offsets } = XenconsInterface
const IN = offsets.in
const OUT = offsets.out
// The indexes as words of the page, for Atomics.
const IN_CONS = offsets.in_cons >> 2
const IN_PROD = offsets.in_prod >> 2
const OUT_CONS = offsets.out_cons >> 2
const OUT_PROD = offsets.out_prod >> 2

export const CONSOLE_LIMIT = 1024 * 1024
/** Input beyond this makes the writer wait. */
const INPUT_HIGH_WATER = 16 * 1024
/** Full rings taken in one service, so that one guest cannot keep the control thread. */
const ROUNDS_A_SERVICE = 4

/** What the console needs of its host. */
export interface ConsoleHost {
  /** Signals the domain's event channel. */
  notify(): void
  /** Runs `work` soon, after others had their turn. */
  schedule(work: () => void): void
  /** Takes what the guest printed; `bytes` are its to keep. */
  output(bytes: Uint8Array): void
}

export class ConsoleBackend {
  readonly #page: Uint8Array
  readonly #words: Int32Array
  readonly #host: ConsoleHost
  readonly #scratch = new Uint8Array(XENCONS_OUT_SIZE)
  #input: Uint8Array[] = []
  #inputSize = 0
  #waiting: (() => void)[] = []
  #closed = false

  /** `page` is the 4096 bytes of the shared page, aligned to a word, in shared memory. */
  constructor(page: Uint8Array, host: ConsoleHost) {
    this.#page = page
    this.#words = new Int32Array(page.buffer, page.byteOffset, page.length >> 2)
    this.#host = host
  }

  /** Types `bytes`; false asks the writer to wait until `whenRoom` calls. */
  write(bytes: Uint8Array): boolean {
    if (this.#closed) return true
    this.#input.push(bytes.slice())
    this.#inputSize += bytes.length
    if (this.#type()) this.#host.notify()
    return this.#inputSize < INPUT_HIGH_WATER
  }

  /** Calls back once the guest has taken enough input, or the console is gone. */
  whenRoom(callback: () => void): void {
    if (this.#closed || this.#inputSize < INPUT_HIGH_WATER) callback()
    else this.#waiting.push(callback)
  }

  /** Moves what can be moved; called for each signal of the guest. */
  service(): void {
    if (this.#closed) return
    let moved = this.#type()
    let rounds = 0
    while (rounds < ROUNDS_A_SERVICE && this.#take()) {
      rounds++
      moved = true
    }
    if (moved) this.#host.notify()
    if (rounds === ROUNDS_A_SERVICE) this.#host.schedule(() => this.service())
  }

  /** Takes the last output and lets the page go. */
  close(): void {
    if (this.#closed) return
    this.#take()
    this.#closed = true
    this.#input = []
    this.#inputSize = 0
    this.#wake()
  }

  /** Takes what the output ring holds; whether there was any. */
  #take(): boolean {
    const consumer = Atomics.load(this.#words, OUT_CONS)
    const count = (Atomics.load(this.#words, OUT_PROD) - consumer) >>> 0
    if (count === 0 || count > XENCONS_OUT_SIZE) return false
    for (let i = 0; i < count; i++) {
      this.#scratch[i] = this.#page[OUT + ((consumer + i) & (XENCONS_OUT_SIZE - 1))] ?? 0
    }
    Atomics.store(this.#words, OUT_CONS, (consumer + count) | 0)
    this.#host.output(this.#scratch.slice(0, count))
    return true
  }

  /** Puts waiting input into its ring; whether any went. */
  #type(): boolean {
    const producer = Atomics.load(this.#words, IN_PROD)
    const used = (producer - Atomics.load(this.#words, IN_CONS)) >>> 0
    if (used > XENCONS_IN_SIZE) return false
    const room = XENCONS_IN_SIZE - used
    let count = 0
    while (count < room) {
      const first = this.#input[0]
      if (!first) break
      const part = first.subarray(0, room - count)
      for (let i = 0; i < part.length; i++) {
        this.#page[IN + ((producer + count + i) & (XENCONS_IN_SIZE - 1))] = part[i] ?? 0
      }
      count += part.length
      if (part.length === first.length) this.#input.shift()
      else this.#input[0] = first.subarray(part.length)
    }
    if (count === 0) return false
    Atomics.store(this.#words, IN_PROD, (producer + count) | 0)
    this.#inputSize -= count
    if (this.#inputSize < INPUT_HIGH_WATER) this.#wake()
    return true
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const callback of waiting) callback()
  }
}
