/**
 * How the parts of the processor see one another: MMU, services, exception delivery.
 */
import type { CpuContextView } from './state.ts'
import type { CoreControlView } from './core-memory.ts'
import type { Machine } from '../isa/machine.ts'
import type { Instruction } from '../isa/operand.ts'

/** Thrown inside services when the guest faults; caught where the service was called. There is one
 * instance per core, so that a fault allocates nothing. */
export class GuestFault extends Error {
  override readonly name = 'GuestFault'
  vector = 0
  errorCode = 0
  hasErrorCode = false
}

/** Thrown inside services whose access must be answered from outside (MMIO); as GuestFault. */
export class AccessExit extends Error {
  override readonly name = 'AccessExit'
}

/** A core's instances of what services throw. */
export interface Thrown {
  readonly fault: GuestFault
  readonly accessExit: AccessExit
}

/** Memory by linear address, through the TLB and the guest's page tables. Throws GuestFault (#PF
 * with CR2 set) or AccessExit. `user`: the access has user rights, whatever CPL is. */
export interface LinearMemory {
  read(address: bigint, size: number, user: boolean): bigint
  write(address: bigint, size: number, value: bigint, user: boolean): void
  /** Faults if `size` bytes could not be written. */
  probeWrite(address: bigint, size: number, user: boolean): void
  /** Machine address of a byte, or -1; without faulting, without setting accessed bits. */
  translate(address: bigint, write: boolean, user: boolean): number
  /** Where in `bytes` the `size` bytes at an address lie, when they are in one page and can be
   * accessed there; else -1, and nothing has faulted. */
  place(address: bigint, size: number, write: boolean, user: boolean): number
  readonly bytes: DataView
  /** Forgets translations: of all address spaces, with or without global ones; of one, but for
   * global ones. */
  flushAll(): void
  flushNonGlobal(): void
  flushSpace(pcid: number): void
  /** Forgets a page of the current address space, and of all if it is global; or a page of the
   * address space of a PCID. */
  flushPage(address: bigint): void
  flushPageOf(address: bigint, pcid: number): void
  /** CR3 was loaded; `pcid` is 0 without CR4.PCIDE. Unless `keep`, what is known of that address
   * space is forgotten, but for global pages. */
  switchSpace(pcid: number, keep: boolean): void
}

/** What system services and exception delivery work on. */
export interface Processor {
  readonly context: CpuContextView
  readonly control: CoreControlView
  readonly memory: LinearMemory
  /** Raises an exception from a service; does not return. */
  fault(vector: number, errorCode?: number): never
  /** Must be called after CR0, CR3, CR4, EFER, RFLAGS.AC, CPL or CS.L/D changed: recomputes what
   * the engine derives from them (code mode, SMAP state, paging mode). */
  modeChanged(): void
  /** Must be called when interrupts that waited may now be taken: IF was set, NMIs unblocked. */
  interruptsEnabled(): void
  /** Ticks of the host's time stamp counter; the guest's reads `context.tscOffset` more. */
  tsc(): bigint
  /** 32 random bits. */
  random(): number
  /** Whether there may be something at ports; else IN reads all ones there. */
  readonly hasPorts: boolean
  /** Reads a port in the midst of an instruction (INS): throws AccessExit until it is answered, as
   * MMIO reads do, and the instruction is executed again. */
  readPort(port: number, size: number): bigint
  /** Leaves the run loop after this instruction with an exit for the caller. */
  requestExit(kind: ServiceExit, size: number, address: number, value: bigint): void
}

/** Exits that services ask for. For `in`, `rdmsr` and `cpuid` the caller writes the results into
 * the context; rip already points behind the instruction. */
export type ServiceExit =
  | 'in' | 'out' | 'rdmsr' | 'wrmsr' | 'cpuid' | 'halt' | 'hypercall' | 'pause' | 'shutdown'

/**
 * Carries out one instruction that needs more than `Machine`. While it runs, `context.rip` is
 * behind the instruction; jumps overwrite it, and whoever catches a fault puts it back.
 */
export type SystemService =
  (machine: Machine, processor: Processor, instruction: Instruction) => void
