/**
 * What a core needs of a processor: the part of cpu/cpu.ts that its loop uses, so that a test can
 * drive the loop with a processor that follows a script.
 */
import type { Exit, ExitKind } from '../cpu/cpu.ts'
import type { InterruptsAhead } from '../cpu/interrupts-ahead.ts'
import type { CpuContextView } from '../cpu/state.ts'

export interface CoreProcessor {
  readonly context: CpuContextView
  readonly exit: Exit
  readonly ahead: Pick<InterruptsAhead, 'allow' | 'offered' | 'taken' | 'ended'>
  readonly memory: {
    reach(address: bigint, write: boolean, user: boolean): number
    /** The guest-physical address at which the last `reach` in vain found no memory. */
    readonly nowhere: number
  }
  /** How many instructions it has executed. */
  readonly executed: number
  run(budget: number, exactly: boolean): ExitKind
  complete(value: bigint): void
  retry(): void
  canTakeInterrupt(): boolean
  injectInterrupt(vector: number): void
  injectNmi(): void
  injectException(vector: number, errorCode?: number): void
  requestWindow(on: boolean): void
  loadContext(bytes: Uint8Array, owner: number, anew: boolean): void
  saveContext(bytes: Uint8Array): void
  setMemory(p2mDirectory: number): void
  flushTlb(): void
  flushCode(): void
  /** Forgets code that was decoded from the frame at a machine address. */
  forgetCode(machine: number): void
  /** Stores to that frame are noticed again, and others told of those that were not. */
  forgetStores(machine: number): void
  /** Whether locked instructions may end in a 'bus-lock' exit. */
  shareBus(shared: boolean): void
}
