/**
 * Starts a machine's cores: each a worker thread that runs vcpus (core-worker.ts).
 */
import { Worker } from 'node:worker_threads'
import type { Log } from '../base/log.ts'
import type { Host } from '../hypervisor/host/host.ts'
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
  /** Is called when a core dies, which is a mistake of ours. */
  failed(error: Error): void
}

/** Resolves once all cores run. */
export async function startCores(
  memory: MachineMemory, host: Host, options: CoresOptions,
): Promise<Cores> {
  const { failed, heatLimit, kept, log } = options
  const stop = new SharedArrayBuffer(4)
  const compiler = new CompilerThread(host.state.coreCount, log, kept)
  let stopping = false
  const workers = Array.from({ length: host.state.coreCount }, (_, index) => {
    const end = compiler.ends[index]!
    const start: CoreStart = { memory, index, stop, heatLimit, compiler: end, kept }
    const worker = new Worker(new URL('core-worker.ts', import.meta.url), {
      workerData: start, transferList: [end.port],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    })
    worker.on('error', failed)
    worker.on('exit', (code) => {
      if (!stopping) failed(new Error(`core ${index} ended with code ${code}`))
    })
    worker.on('message', (message: CoreMessage) => {
      if (message.kind === 'compile') compiler.start()
      else if (message.kind === 'log') log.warn(message.line)
    })
    return worker
  })
  // One that has died already will not say so again.
  const ends = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)))
  await Promise.all(workers.map((worker) =>
    new Promise<void>((resolve) => worker.on('message', ({ kind }: CoreMessage) => {
      if (kind === 'ready') resolve()
    }))))
  return {
    stop: async () => {
      stopping = true
      Atomics.store(new Int32Array(stop), 0, 1)
      workers.forEach((_, index) => host.kickCore(index))
      await Promise.all([...ends, compiler.stop()])
    },
  }
}
