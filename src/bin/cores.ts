/**
 * A machine's cores: each a worker thread that runs vcpus (core-worker.ts).
 *
 * The first starts with the machine, each other when its doorbell first rings while it is online: a
 * core that nobody wants costs nothing. The thread of one that goes offline ends. One that dies,
 * which is a mistake of ours, takes the domain with it that it ran, and is started anew; but if it
 * held a lock, the machine cannot go on.
 */
import { Worker } from 'node:worker_threads'
import type { Log } from '../base/log.ts'
import { ringCount, rung } from '../base/shared/doorbell.ts'
import { abandonCore } from '../core/abandon.ts'
import type { Host } from '../hypervisor/host/host.ts'
import { CoreState } from '../hypervisor/host/state.ts'
import { CompilerThread } from './compiler-port.ts'
import type { KeptCode } from './kept-code.ts'
import type { CoreMessage, CoreStart, MachineMemory } from './thread.ts'

/** Decoding makes garbage at a small rate; a larger young generation would only stay resident. */
const YOUNG_MB = 4

/** The cores of a machine, running until stopped. */
export interface Cores {
  stop(): Promise<void>
}

export interface CoresOptions {
  readonly log: Log
  /** CoreStart's. */
  readonly heatLimit: number | undefined
  readonly kept: KeptCode | undefined
  /** Is called when a core dies and the machine cannot go on. */
  failed(error: Error): void
}

/** Resolves once the first core runs. */
export async function startCores(
  memory: MachineMemory, host: Host, options: CoresOptions,
): Promise<Cores> {
  const threads = new CoreThreads(memory, host, options)
  for (let core = 1; core < host.state.coreCount; core++) void threads.startWhenRung(core)
  await threads.start(0)
  return threads
}

class CoreThreads implements Cores {
  readonly #memory: MachineMemory
  readonly #host: Host
  readonly #options: CoresOptions
  readonly #compiler: CompilerThread
  readonly #stop = new SharedArrayBuffer(4)
  /** What each thread that was started and has not ended will resolve. */
  readonly #ends = new Map<number, Promise<void>>()
  #stopping = false

  constructor(memory: MachineMemory, host: Host, options: CoresOptions) {
    this.#memory = memory
    this.#host = host
    this.#options = options
    this.#compiler = new CompilerThread(options.log, options.kept)
  }

  /** Starts a core's thread once something wants it to look for work, and it is online. */
  async startWhenRung(core: number): Promise<void> {
    const { cells } = this.#host.hypervisor
    const doorbell = this.#host.core(core).base + CoreState.offsets.doorbell
    let seen = ringCount(cells, doorbell)
    do {
      await rung(cells, doorbell, seen)
      seen = ringCount(cells, doorbell)
      if (this.#stopping) return
    } while (this.#host.core(core).online === 0)
    await this.start(core)
  }

  /** Resolves once the core runs. */
  start(core: number): Promise<void> {
    const { heatLimit, kept, log } = this.#options
    const compiler = this.#compiler.newEnd()
    const start: CoreStart = {
      memory: this.#memory, index: core, stop: this.#stop, heatLimit, kept,
      compiler,
    }
    const worker = new Worker(new URL('core-worker.ts', import.meta.url), {
      workerData: start, transferList: [compiler.port],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    })
    let cause: Error | undefined
    let runs = false
    worker.on('error', (error: Error) => (cause = error))
    this.#ends.set(core, new Promise((resolve) => worker.once('exit', (code) => {
      resolve()
      if (this.#stopping) return
      if (code === 0) this.#startAgain(core)
      else this.#died(core, cause ?? new Error(`it ended with code ${code}`), runs)
    })))
    return new Promise((resolve) => worker.on('message', (message: CoreMessage) => {
      switch (message.kind) {
        case 'compile': return this.#compiler.start()
        case 'log': return log.warn(message.line)
        case 'ready': return resolve(void (runs = true))
      }
    }))
  }

  /** Its thread has ended; at once, unless it is offline. */
  #startAgain(core: number): void {
    if (this.#host.core(core).online !== 0) void this.start(core)
    else void this.startWhenRung(core)
  }

  #died(core: number, cause: Error, ran: boolean): void {
    const { failed, log } = this.#options
    const why = `core ${core} has died: ${cause.message}`
    const lost = ran ? abandonCore(this.#host, core, why) : undefined
    if (!lost) {
      failed(new Error(why, { cause }))
      return
    }
    log.error(`${why}; ${lost.domid < 0 ? 'it was idle' : `domain ${lost.domid} has crashed`}`)
    this.#startAgain(core)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    Atomics.store(new Int32Array(this.#stop), 0, 1)
    for (let core = 0; core < this.#host.state.coreCount; core++) this.#host.kickCore(core)
    await Promise.all([...this.#ends.values(), this.#compiler.stop()])
  }
}
