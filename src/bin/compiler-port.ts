/**
 * A core's way to the compiler's thread, and the control thread's part in it: it starts that thread
 * when a core asks, so that hosts with nothing hot never have one, and lets it end when nobody has
 * asked for some time. The ports of cores outlive it: they come back, with what was asked since.
 *
 * A core asks, and then looks whether the thread runs. The thread says that it does not any more,
 * and then looks for what was asked. So one of the two sees the other.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { Log } from '../base/log.ts'
import type {
  CompilerAnswer, CompileRequest, LoadRequest, RegionCompiler, SharedRegions,
} from '../cpu/jit/compiler.ts'
import { giveBackBlocks } from '../node/c-library.ts'
import type { KeptCode } from './kept-code.ts'

/** How the compiler's thread is started. */
export interface CompilerStart {
  readonly state: SharedArrayBuffer
  /** With nothing asked for that long, it is idle. */
  readonly idleMs: number
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
  readonly state: SharedArrayBuffer
}

/** What the compiler's thread is told: to serve a core, and to end. */
export type CompilerOrder =
  | { readonly kind: 'serve', readonly letters: Letters }
  | { readonly kind: 'end' }

/** What it says: a line for the log; that nobody asks any more; each port, and that it ends. */
export type CompilerNews =
  | { readonly kind: 'log', readonly line: string }
  | { readonly kind: 'idle' }
  | { readonly kind: 'gives back', readonly letters: Letters }
  | { readonly kind: 'ends' }

/** Sends a message with the port of its letters, unless the core's thread has ended, which closes
 * the port. */
export function sendWithPort<Message extends { readonly letters: Letters }>(
  to: { postMessage(message: Message, ports: MessagePort[]): void }, message: Message,
): void {
  try {
    to.postMessage(message, [message.letters.port])
  } catch (error) {
    if ((error as Error).name !== 'DataCloneError') throw error
  }
}

/** Heap of the compiler's thread in MiB: of translating, nothing stays. */
const HEAP_MB = 256
const YOUNG_MB = 8

/** After so long the memory that the thread takes is worth more than what it has learnt. */
const IDLE_MS = 10_000

/** News of other cores' regions that a core may have to read: one that sleeps is told no more, so
 * that what waits for it is bounded. */
const UNREAD_LIMIT = 32
/** Words of the compiler's state: not zero once it has failed, and while it takes requests. */
const FAILED = 0
const RUNS = 1
const STATE_BYTES = 8
/** Words of the counts. */
const SENT = 0
const TAKEN = 1
const COUNTS_BYTES = 8

/** The compiler's end of a port to a core. */
export class CompilerDesk {
  readonly letters: Letters
  readonly #counts: Int32Array

  constructor(letters: Letters) {
    this.letters = letters
    this.#counts = new Int32Array(letters.counts)
  }

  /** What was asked, if something was. */
  receive(): CompileRequest | LoadRequest | undefined {
    return receiveMessageOnPort(this.letters.port)?.message as
      CompileRequest | LoadRequest | undefined
  }

  answer(answer: CompilerAnswer): void {
    this.letters.port.postMessage(answer)
    Atomics.add(this.#counts, SENT, 1)
  }

  /** Tells the core what was compiled for another, if it reads. */
  tell(news: SharedRegions): void {
    const unread = Atomics.load(this.#counts, SENT) - Atomics.load(this.#counts, TAKEN)
    if (unread < UNREAD_LIMIT) this.answer(news)
  }
}

/** Says that the compiler's thread takes no requests any more but those that are there. */
export function closeCompiler(state: SharedArrayBuffer): void {
  Atomics.store(new Int32Array(state), RUNS, 0)
}

/** A core's compiler; `start` asks the control thread to start it. */
export class CompilerPort implements RegionCompiler {
  readonly #port: MessagePort
  readonly #state: Int32Array
  readonly #counts: Int32Array
  readonly #start: () => void

  constructor({ port, state, counts }: CompilerEnd, start: () => void) {
    this.#port = port
    this.#state = new Int32Array(state)
    this.#counts = new Int32Array(counts)
    this.#start = start
  }

  get works(): boolean {
    return Atomics.load(this.#state, FAILED) === 0
  }

  request(request: CompileRequest): void {
    this.#ask(request)
  }

  load(request: LoadRequest): void {
    this.#ask(request)
  }

  #ask(request: CompileRequest | LoadRequest): void {
    this.#port.postMessage(request)
    if (Atomics.load(this.#state, RUNS) === 0) this.#start()
  }

  take(): CompilerAnswer | undefined {
    const taken = Atomics.load(this.#counts, TAKEN)
    if (Atomics.load(this.#counts, SENT) === taken) return undefined
    Atomics.store(this.#counts, TAKEN, taken + 1)
    return receiveMessageOnPort(this.#port)?.message as CompilerAnswer | undefined
  }
}

/** The compiler's thread of a machine, which runs from when it is asked for until it is idle. */
export class CompilerThread {
  /** Ports for it, until it runs. */
  readonly #waiting: Letters[] = []
  readonly #state = new SharedArrayBuffer(STATE_BYTES)
  readonly #log: Log
  readonly #kept: KeptCode | undefined
  readonly #idleMs: number
  readonly #heapMb: number
  #worker: Worker | undefined
  /** It was told to end, and has given its ports back. */
  #isEnding = false
  #hasGivenBack = false
  #isWanted = false
  #stopping = false

  constructor(log: Log, kept?: KeptCode, idleMs = IDLE_MS, heapMb = HEAP_MB) {
    this.#log = log
    this.#kept = kept
    this.#idleMs = idleMs
    this.#heapMb = heapMb
  }

  /** An end for the thread of a core. */
  newEnd(): CompilerEnd {
    const { port1, port2 } = new MessageChannel()
    const counts = new SharedArrayBuffer(COUNTS_BYTES)
    const letters = { port: port2, counts }
    if (this.#worker && !this.#isEnding) serve(this.#worker, letters)
    else this.#waiting.push(letters)
    return { port: port1, counts, state: this.#state }
  }

  start(): void {
    this.#isWanted = this.#worker !== undefined && this.#isEnding
    if (this.#worker || this.#stopping) return
    this.#isEnding = false
    this.#hasGivenBack = false
    Atomics.store(new Int32Array(this.#state), RUNS, 1)
    const start: CompilerStart = {
      state: this.#state, idleMs: this.#idleMs, ...this.#kept ? { kept: this.#kept } : {},
    }
    const worker = new Worker(new URL('compile-worker.ts', import.meta.url), {
      name: 'compiler', workerData: start,
      resourceLimits: { maxOldGenerationSizeMb: this.#heapMb, maxYoungGenerationSizeMb: YOUNG_MB },
    })
    this.#worker = worker
    for (const letters of this.#waiting.splice(0)) serve(worker, letters)
    // Guests go on without it: what is not compiled is interpreted.
    worker.on('message', (news: CompilerNews) => this.#told(worker, news))
    worker.once('error', (error: Error) => this.#fail(error.message))
    worker.once('exit', (code) => this.#ended(code))
    worker.unref()
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#worker?.terminate()
  }

  #told(worker: Worker, news: CompilerNews): void {
    switch (news.kind) {
      case 'log': return this.#log.warn(news.line)
      case 'idle':
        // It may say so once more before it is told: who gave its ports back has none to look at.
        if (!this.#isEnding) worker.postMessage({ kind: 'end' } satisfies CompilerOrder)
        this.#isEnding = true
        return
      case 'gives back':
        this.#waiting.push(news.letters)
        return
      case 'ends':
        this.#hasGivenBack = true
    }
  }

  #ended(code: number): void {
    if (!this.#hasGivenBack) return this.#fail(`it ended with code ${code}`)
    this.#worker = undefined
    giveBackBlocks()
    if (this.#isWanted) this.start()
  }

  #fail(why: string): void {
    if (this.#stopping || Atomics.exchange(new Int32Array(this.#state), FAILED, 1) !== 0) return
    this.#log.error(`the compiler has failed, and guests are interpreted from now on: ${why}`)
  }
}

function serve(worker: Worker, letters: Letters): void {
  sendWithPort(worker, { kind: 'serve', letters } satisfies CompilerOrder)
}
