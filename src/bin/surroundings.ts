/**
 * What a machine is given from outside: time, randomness, files, a later turn of the event loop,
 * and threads for its cores. Here from the system; deterministic.ts has it from a seed.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import { watchUpcalls } from '../hypervisor/events/upcall.ts'
import type { Vcpu } from '../hypervisor/domain/vcpu.ts'
import type { Host } from '../hypervisor/host/host.ts'
import { fetchByTftp } from '../network/tftp-client.ts'
import { HostClock } from '../node/clock.ts'
import { readBelow } from '../node/boot-folder.ts'
import { nodeDecompressor } from '../node/compression.ts'
import { fetchFile } from '../node/fetch-file.ts'
import { readPlainFile } from '../node/files.ts'
import { collectGarbageSoon } from '../node/garbage.ts'
import { nodeHostFiles } from '../node/host-files.ts'
import { hostNet } from '../node/host-net.ts'
import { openPty } from '../node/pty.ts'
import { randomWord } from '../node/random.ts'
import { coreDumpPath, writeLog } from '../node/run-folder.ts'
import { listenUnix } from '../node/unix-socket.ts'
import type { ToolstackHost } from '../toolstack/domain/toolstack-host.ts'
import { type Cores, type CoresOptions, startCores } from './cores.ts'
import type { MachineMemory } from './thread.ts'

export interface Surroundings {
  readonly clock: Clock
  readonly toolstack: ToolstackHost
  /** Milliseconds since some time. */
  now(): number
  /** A file in a folder, if it is one. */
  readBelow(folder: string, name: string): Promise<Uint8Array | undefined>
  /** 32 random bits. */
  randomWord(): number
  /** As watchUpcalls. */
  watchUpcalls(vcpu: Vcpu, handler: () => void): () => void
  /** Resolves once all cores run. */
  startCores(memory: MachineMemory, host: Host, options: CoresOptions): Promise<Cores>
}

const now = (): number => performance.now()

function delay(ms: number, work: () => void): () => void {
  const timer = setTimeout(work, ms)
  return () => clearTimeout(timer)
}

export function realSurroundings(log: Log, startNs: number): Surroundings {
  return {
    clock: new HostClock(startNs),
    toolstack: {
      readFile: readPlainFile,
      fetchFile: (url, limitBytes) => url.startsWith('tftp:')
        ? fetchByTftp({ timers: { now, after: delay }, hostNet }, url, limitBytes)
        : fetchFile(url, limitBytes),
      decompressor: nodeDecompressor,
      images: { files: nodeHostFiles, decompressor: nodeDecompressor },
      log,
      listen: listenUnix,
      openPty,
      coreDumpPath: (name) => coreDumpPath(process.env, name),
      keepLog: async (name, bytes) => {
        await writeLog(process.env, name, bytes).catch((error: unknown) =>
          log.warn(`${name} is not kept: ${String(error)}`))
      },
      wallClockMs: () => Date.now(),
      random: (count) => randomBytes(count),
      schedule: (work) => void setImmediate(work),
      delay,
      largeBuffersDropped: collectGarbageSoon,
    },
    readBelow,
    now,
    randomWord,
    watchUpcalls: (vcpu, handler) =>
      watchUpcalls(vcpu, handler, (work) => void setImmediate(work)),
    startCores: (memory, host, options) => startCores(memory, host, options),
  }
}

