/**
 * A core's way to the compiler's thread, and the control thread's part in it: it starts that thread
 * when the first core asks, so that hosts with nothing hot never have one.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { Log } from '../base/log.ts'
import type {
  CompilerAnswer, CompileRequest, LoadRequest, RegionCompiler, SharedRegions,
} from '../cpu/jit/compiler.ts'
import type { KeptCode } from './kept-code.ts'

/** How the compiler's thread is started; it is sent Letters for each thread of a core. */
export interface CompilerStart {
  /** Where modules are kept beyond this process, if they are. */
  readonly kept?: KeptCode
}

/** A port between a core and the compiler, and how much was sent to the core and taken there. */
export interface Letters {
  readonly port: MessagePort
  readonly counts: SharedArrayBuffer
}

/** A core's end. */
export interface CompilerEnd extends Letters {
  /** One word, not zero once the compiler has failed. */
  readonly failed: SharedArrayBuffer
}

/** Heap of the compiler's thread in MiB: of translating, nothing stays. */
const HEAP_MB = 256
const YOUNG_MB = 8

/** News of other cores' regions that a core may have to read: one that sleeps is told no more, so
 * that what waits for it is bounded. */
const UNREAD_LIMIT = 32
/** Words of the counts. */
const SENT = 0
const TAKEN = 1
const COUNTS_BYTES = 8

/** The compiler's end of a port to a core. */
export class CompilerDesk {
  readonly port: MessagePort
  readonly #counts: Int32Array

  constructor({ port, counts }: Letters) {
    this.port = port
    this.#counts = new Int32Array(counts)
  }

  answer(answer: CompilerAnswer): void {
    this.port.postMessage(answer)
    Atomics.add(this.#counts, SENT, 1)
  }

  /** Tells the core what was compiled for another, if it reads. */
  tell(news: SharedRegions): void {
    const unread = Atomics.load(this.#counts, SENT) - Atomics.load(this.#counts, TAKEN)
    if (unread < UNREAD_LIMIT) this.answer(news)
  }
}

/** A core's compiler; `start` asks the control thread to start it. */
export class CompilerPort implements RegionCompiler {
  readonly #port: MessagePort
  readonly #failed: Int32Array
  readonly #counts: Int32Array
  readonly #start: () => void
  #asked = false

  constructor({ port, failed, counts }: CompilerEnd, start: () => void) {
    this.#port = port
    this.#failed = new Int32Array(failed)
    this.#counts = new Int32Array(counts)
    this.#start = start
  }

  get works(): boolean {
    return Atomics.load(this.#failed, 0) === 0
  }

  request(request: CompileRequest): void {
    this.#ask(request)
  }

  load(request: LoadRequest): void {
    this.#ask(request)
  }

  #ask(request: CompileRequest | LoadRequest): void {
    this.#port.postMessage(request)
    if (!this.#asked) this.#start()
    this.#asked = true
  }

  take(): CompilerAnswer | undefined {
    const taken = Atomics.load(this.#counts, TAKEN)
    if (Atomics.load(this.#counts, SENT) === taken) return undefined
    Atomics.store(this.#counts, TAKEN, taken + 1)
    return receiveMessageOnPort(this.#port)?.message as CompilerAnswer | undefined
  }
}

/** The compiler's thread of a machine, which runs once it is started. */
export class CompilerThread {
  /** Ports for it, until it runs. */
  readonly #waiting: Letters[] = []
  readonly #failed = new SharedArrayBuffer(4)
  readonly #log: Log
  readonly #kept: KeptCode | undefined
  #worker: Worker | undefined
  #stopping = false

  constructor(log: Log, kept?: KeptCode) {
    this.#log = log
    this.#kept = kept
  }

  /** An end for the thread of a core. */
  newEnd(): CompilerEnd {
    const { port1, port2 } = new MessageChannel()
    const counts = new SharedArrayBuffer(COUNTS_BYTES)
    const letters = { port: port2, counts }
    if (this.#worker) this.#worker.postMessage(letters, [port2])
    else this.#waiting.push(letters)
    return { port: port1, counts, failed: this.#failed }
  }

  start(): void {
    if (this.#worker || this.#stopping) return
    const start: CompilerStart = this.#kept ? { kept: this.#kept } : {}
    this.#worker = new Worker(new URL('compile-worker.ts', import.meta.url), {
      workerData: start,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: YOUNG_MB },
    })
    for (const letters of this.#waiting.splice(0)) {
      this.#worker.postMessage(letters, [letters.port])
    }
    // Guests go on without it: what is not compiled is interpreted.
    this.#worker.on('message', (line: string) => this.#log.warn(line))
    this.#worker.once('error', (error: Error) => this.#fail(error.message))
    this.#worker.once('exit', (code) => this.#fail(`it ended with code ${code}`))
    this.#worker.unref()
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#worker?.terminate()
  }

  #fail(why: string): void {
    if (this.#stopping || Atomics.exchange(new Int32Array(this.#failed), 0, 1) !== 0) return
    this.#log.error(`the compiler has failed, and guests are interpreted from now on: ${why}`)
  }
}
