/**
 * A machine's cores: each a worker thread that runs vcpus (core-worker.ts).
 *
 * The first starts with the machine, each other when its doorbell first rings while it is online: a
 * core that nobody wants costs nothing. The thread of one that goes offline ends. One that dies,
 * which is a mistake of ours, takes the domain with it that it ran, and is started anew; but if it
 * held a lock, the machine cannot go on.
 *
 * The control thread may be waiting for the very core that died, and then no event tells it: while
 * it waits it looks by itself whether the threads live.
 */
import { Worker } from 'node:worker_threads'
import { Bug } from '../base/assert.ts'
import type { Log } from '../base/log.ts'
import { ringCount, rung } from '../base/shared/doorbell.ts'
import { heldLocks } from '../base/shared/lock.ts'
import { whileWaiting } from '../base/shared/wait.ts'
import { abandonCore, type Lost } from '../core/abandon.ts'
import type { CompilingOptions } from '../cpu/jit/features.ts'
import type { Host } from '../hypervisor/host/host.ts'
import { CoreState } from '../hypervisor/host/state.ts'
import { threadHasEnded } from '../node/threads.ts'
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
  readonly compiling: CompilingOptions
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

/** What the control thread knows of a core's thread. */
interface Thread {
  readonly core: number
  /** Resolves when it has ended. */
  ended: Promise<void>
  runs: boolean
  name: string | undefined
  /** What its death has cost, if that was found while waiting for it. */
  lost: Lost | undefined
}

class CoreThreads implements Cores {
  readonly #memory: MachineMemory
  readonly #host: Host
  readonly #options: CoresOptions
  readonly #compiler: CompilerThread
  readonly #stop = new SharedArrayBuffer(4)
  /** The last that was started for each core. */
  readonly #threads = new Map<number, Thread>()
  readonly #lookNoMore: () => void
  #stopping = false

  constructor(memory: MachineMemory, host: Host, options: CoresOptions) {
    this.#memory = memory
    this.#host = host
    this.#options = options
    this.#compiler = new CompilerThread(options.log, options.kept)
    this.#lookNoMore = whileWaiting(() => this.#lookForDead())
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
    const { compiling, kept, log } = this.#options
    const compiler = this.#compiler.newEnd()
    const start: CoreStart = {
      memory: this.#memory, index: core, stop: this.#stop, compiling, kept, compiler,
    }
    const worker = new Worker(new URL('core-worker.ts', import.meta.url), {
      name: `core ${core}`, workerData: start, transferList: [compiler.port],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    })
    const thread: Thread = {
      core, ended: Promise.resolve(), runs: false, name: undefined, lost: undefined,
    }
    let cause: Error | undefined
    worker.on('error', (error: Error) => (cause = error))
    thread.ended = new Promise((resolve) => worker.once('exit', (code) => {
      thread.name = undefined
      resolve()
      if (this.#stopping) return
      if (code === 0) this.#startAgain(core)
      else this.#died(thread, cause ?? new Error(`it ended with code ${code}`))
    }))
    this.#threads.set(core, thread)
    return new Promise((resolve) => worker.on('message', (message: CoreMessage) => {
      switch (message.kind) {
        case 'compile': return this.#compiler.start()
        case 'log': return log.warn(message.line)
        case 'ready':
          thread.runs = true
          thread.name = message.thread
          return resolve()
      }
    }))
  }

  /** Its thread has ended; at once, unless it is offline. */
  #startAgain(core: number): void {
    if (this.#host.core(core).online !== 0) void this.start(core)
    else void this.startWhenRung(core)
  }

  #died(thread: Thread, cause: Error): void {
    const { failed, log } = this.#options
    const { core, runs } = thread
    const why = `core ${core} has died: ${cause.message}`
    const lost = thread.lost ?? (runs ? abandonCore(this.#host, core, why) : undefined)
    if (!lost) {
      failed(new Error(why, { cause }))
      return
    }
    log.error(`${why}; ${lost.domid < 0 ? 'it was idle' : `domain ${lost.domid} has crashed`}`)
    this.#startAgain(core)
  }

  /** What this thread waits for may be a core that is no more. */
  #lookForDead(): void {
    for (const thread of this.#threads.values()) {
      if (thread.name !== undefined && threadHasEnded(thread.name)) this.#leftBehind(thread)
    }
  }

  /** Ends the wait for a thread: its event comes when this turn is over, and does the rest. */
  #leftBehind(thread: Thread): void {
    const { core } = thread
    if (this.#host.core(core).heldLocks !== 0) {
      const error = new Bug(`core ${core} has died with a lock`)
      this.#options.failed(error)
      throw error
    }
    // Letting go of its domain takes locks, of which some may be held here.
    if (heldLocks() > 0) this.#host.presence.abandon(core)
    else thread.lost ??= abandonCore(this.#host, core, `core ${core} has died`)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    Atomics.store(new Int32Array(this.#stop), 0, 1)
    for (let core = 0; core < this.#host.state.coreCount; core++) this.#host.kickCore(core)
    const ends = [...this.#threads.values()].map(({ ended }) => ended)
    await Promise.all([...ends, this.#compiler.stop()])
    this.#lookNoMore()
  }
}
