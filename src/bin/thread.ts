/**
 * What each thread of the machine has: the control thread and the cores alike. A core loads this,
 * and nothing of the toolstack.
 */
import type { Clock } from '../base/clock.ts'
import type { CompilingOptions } from '../cpu/jit/features.ts'
import { PvhPlatform } from '../guest/pvh/platform.ts'
import { assemble, type Hypervisor } from '../hypervisor/host/assemble.ts'
import type { HostMemory } from '../hypervisor/host/host.ts'
import { giveBackPages } from '../node/garbage.ts'
import type { CompilerEnd } from './compiler-port.ts'
import type { KeptCode } from './kept-code.ts'

/** What a core needs: the memories, and the host's time. */
export interface MachineMemory {
  readonly machine: WebAssembly.Memory
  readonly hypervisor: SharedArrayBuffer
  readonly startNs: number
}

/** How a core's thread is started. */
export interface CoreStart {
  readonly memory: MachineMemory
  readonly index: number
  /** One word, not zero when the core shall end. */
  readonly stop: SharedArrayBuffer
  readonly compiling: CompilingOptions
  readonly compiler: CompilerEnd
  /** What the compiler has kept of earlier processes, if it keeps anything. */
  readonly kept: KeptCode | undefined
}

/** What a core's thread tells the control thread. */
export type CoreMessage =
  | { readonly kind: 'compile' }
  /** It runs; by the name the control thread can see whether it still lives. */
  | { readonly kind: 'ready', readonly thread: string | undefined }
  | { readonly kind: 'log', readonly line: string }

/** The hypervisor as one thread sees it, with the types of guests it can run. */
export interface ThreadMachine extends Hypervisor {
  readonly guests: PvhPlatform
}

/** Puts together what each thread of the machine has: the control thread and the cores alike. */
export function machineOf(memory: MachineMemory, clock: Clock): ThreadMachine {
  const hypervisor = assemble(buffersOf(memory), clock,
    (offset, bytes) => giveBackPages(memory.machine.buffer, offset, bytes))
  const guests = new PvhPlatform(hypervisor.host)
  hypervisor.host.subsystems.push(guests)
  return { ...hypervisor, guests }
}

/** The host's time stamp counter, in ticks since the host started. */
export function tscOf(clock: Clock, khz: number): () => number {
  const ticksPerNs = khz / 1e6
  return () => clock.now() * ticksPerNs
}

/** The machine's memories as the hypervisor takes them. */
export function buffersOf(memory: MachineMemory): HostMemory {
  return {
    machine: memory.machine.buffer as unknown as SharedArrayBuffer,
    hypervisor: memory.hypervisor,
  }
}
