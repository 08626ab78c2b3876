/**
 * A core's way to the compiler's thread, and the control thread's part in it: it starts that thread
 * when the first core asks, so that hosts with nothing hot never have one.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { Log } from '../base/log.ts'
import type {
  CompiledRegions, CompileRequest, LoadedRegions, LoadRequest, RegionCompiler,
} from '../cpu/jit/compiler.ts'
import type { KeptCode } from './kept-code.ts'

/** How the compiler's thread is started; it is sent a port for each thread of a core. */
export interface CompilerStart {
  /** Where modules are kept beyond this process, if they are. */
  readonly kept?: KeptCode
}

/** A core's end. */
export interface CompilerEnd {
  readonly port: MessagePort
  /** One word, not zero once the compiler has failed. */
  readonly failed: SharedArrayBuffer
}

/** Heap of the compiler's thread in MiB: of translating, nothing stays. */
const HEAP_MB = 256
const YOUNG_MB = 8

/** A core's compiler; `start` asks the control thread to start it. */
export class CompilerPort implements RegionCompiler {
  readonly #port: MessagePort
  readonly #failed: Int32Array
  readonly #start: () => void
  #asked = false

  constructor({ port, failed }: CompilerEnd, start: () => void) {
    this.#port = port
    this.#failed = new Int32Array(failed)
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

  take(): CompiledRegions | LoadedRegions | undefined {
    return receiveMessageOnPort(this.#port)?.message as CompiledRegions | LoadedRegions | undefined
  }
}

/** The compiler's thread of a machine, which runs once it is started. */
export class CompilerThread {
  /** Ports for it, until it runs. */
  readonly #waiting: MessagePort[] = []
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
    if (this.#worker) this.#worker.postMessage(port2, [port2])
    else this.#waiting.push(port2)
    return { port: port1, failed: this.#failed }
  }

  start(): void {
    if (this.#worker || this.#stopping) return
    const start: CompilerStart = this.#kept ? { kept: this.#kept } : {}
    this.#worker = new Worker(new URL('compile-worker.ts', import.meta.url), {
      workerData: start,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: YOUNG_MB },
    })
    for (const port of this.#waiting.splice(0)) this.#worker.postMessage(port, [port])
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
