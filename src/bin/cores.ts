/**
 * Starts a machine's cores: each a worker thread that runs vcpus (core-worker.ts).
 */
import { Worker } from 'node:worker_threads'
import { Core } from '../core/core.ts'
import type { Host } from '../hypervisor/host/host.ts'
import type { CoreStart, MachineMemory } from './thread.ts'

/** Decoding makes garbage at a small rate; a larger young generation would only stay resident. */
const YOUNG_MB = 4

/** The cores of a machine, running until stopped. */
export interface Cores {
  stop(): Promise<void>
}

/** Resolves once all cores run; `failed` is called when one dies, which is a mistake of ours. */
export async function startCores(
  memory: MachineMemory, host: Host, failed: (error: Error) => void,
): Promise<Cores> {
  const stop = new SharedArrayBuffer(4)
  let stopping = false
  const workers = Array.from({ length: host.state.coreCount }, (_, index) => {
    const start: CoreStart = { memory, index, stop }
    const worker = new Worker(new URL('core-worker.ts', import.meta.url), {
      workerData: start, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    })
    worker.on('error', failed)
    worker.on('exit', (code) => {
      if (!stopping) failed(new Error(`core ${index} ended with code ${code}`))
    })
    return worker
  })
  await Promise.all(workers.map((worker) =>
    new Promise((resolve) => worker.once('message', resolve))))
  return {
    stop: async () => {
      stopping = true
      Atomics.store(new Int32Array(stop), 0, 1)
      const ends = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)))
      workers.forEach((_, index) => Core.wake(host, index))
      await Promise.all(ends)
    },
  }
}
