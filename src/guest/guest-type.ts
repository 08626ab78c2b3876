/**
 * What a core asks of a guest's type: how the machine around its processors answers, and which
 * interrupts wait. HVM and PV will stand beside PVH behind the same interface.
 */
import type { CpuContextView } from '../cpu/state.ts'
import type { CpuidResult } from '../cpu/cpuid.ts'
import type { Vcpu } from '../hypervisor/domain/vcpu.ts'

/** In VcpuState.work: the vcpu begins anew, from the state that `takeStartup` gives. */
export const WORK_STARTUP = 1 << 16
/** What an interrupt check found. */
export const NO_VECTOR = -1

/** One vcpu of a guest, as the core that runs it sees it. */
export interface GuestVcpu {
  readonly vcpu: Vcpu
  /** The vcpu is about to run: its registers are in `context` from now until `leave`. */
  enter(context: CpuContextView): void
  leave(): void
  /** Does WORK_* that belongs to the machine around the processor. */
  work(bits: number): void
  /** The state from which a started processor begins is put into `saved`, if one was asked for. */
  takeStartup(saved: CpuContextView): boolean
  /** Host time of the next timer. */
  readonly deadline: number
  /** Fires what is due. */
  expire(now: number): void
  /** The vector to deliver now if the processor takes it, or NO_VECTOR. */
  pendingVector(): number
  /** The processor took `vector`. */
  accept(vector: number): void
  /** Whether `vector` waits until it is accepted, whatever the guest does meanwhile. */
  keeps(vector: number): boolean
  /** The processor may take `vector`, which is kept, at any time until `settle` says whether it
   * did. */
  offer(vector: number): void
  settle(vector: number, taken: boolean): void
  /** Whether nothing follows from the guest's next EOI, by when `next` is in service; 0: none is
   * that is not already. */
  endsQuietly(next: number): boolean
  /** The guest has written such an EOI. */
  end(): void

  mmioRead(address: number, size: number): bigint
  mmioWrite(address: number, size: number, value: bigint): void
  portRead(port: number, size: number): bigint
  portWrite(port: number, size: number, value: bigint): void
  cpuid(leaf: number, subleaf: number): CpuidResult
  /** The value, or undefined for #GP(0). */
  readMsr(msr: number): bigint | undefined
  /** False for #GP(0). */
  writeMsr(msr: number, value: bigint): boolean
  /** Whether frames of code were written behind the processor's back since the last question. */
  takeCodeChanged(): boolean
}

/** A kind of guest, on one thread. */
export interface GuestType {
  vcpuOf(vcpu: Vcpu): GuestVcpu
}
