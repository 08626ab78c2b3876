/**
 * A vcpu of a PVH guest as the core that runs it sees it: the LAPIC page, Xen's MSRs and CPUID
 * leaves, and the interrupts that wait.
 *
 * A guest chooses how it is told of events: an edge on a vector of the LAPIC
 * (HVMOP_set_evtchn_upcall_vector), or a vector outside it that comes again until the pending byte
 * is clear (HVM_PARAM_CALLBACK_IRQ). Ports and memory where nothing is read as all ones and drop
 * writes.
 */
import { MSR } from '../../abi/x86/msr.ts'
import { HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CALLBACK_TYPE_VECTOR } from
  '../../abi/xen/hvm/params.ts'
import { XEN_X86_MSR_RELAXED } from '../../abi/xen/xen.ts'
import { CODE_MODE_LONG } from '../../cpu/core-memory.ts'
import type { CpuidResult, CpuPolicy } from '../../cpu/cpuid.ts'
import { CpuContext, type CpuContextView } from '../../cpu/state.ts'
import { codeModeOf } from '../../cpu/system/mode.ts'
import { latchSharedInfo } from '../../hypervisor/domain/shared-info.ts'
import { DomainState, WORK_EVENTS, WORK_PLATFORM } from '../../hypervisor/domain/state.ts'
import type { Vcpu } from '../../hypervisor/domain/vcpu.ts'
import { upcallPending } from '../../hypervisor/events/upcall.ts'
import type { Lapic } from '../../platform/irq/lapic.ts'
import { LAPIC_BASE, LAPIC_HARDWARE_DISABLED } from '../../platform/irq/lapic-state.ts'
import { endsQuietly } from '../../platform/irq/quiet-eoi.ts'
import { type GuestVcpu, NO_VECTOR } from '../guest-type.ts'
import { type GuestCpuidState, pvhCpuid, shownPolicy } from './cpuid.ts'
import { writeHypercallPage } from './hypercall-page.ts'
import { startState } from './startup.ts'
import { PvhVcpuState, STARTUP_WAITS } from './state.ts'

const HYPERCALL_MSR = 0x4000_0000
const PAGE = 4096

export class PvhVcpu implements GuestVcpu {
  readonly vcpu: Vcpu
  readonly lapic: Lapic
  /** Whether this thread runs the vcpu now. */
  isHere = false
  readonly #machine: CpuPolicy
  /** What of that the domain's processors show, and as of which change. */
  #policy: CpuPolicy
  #policySerial = 0
  #context: CpuContextView | undefined
  #codeChanged = false

  constructor(vcpu: Vcpu, lapic: Lapic, policy: CpuPolicy) {
    this.vcpu = vcpu
    this.lapic = lapic
    this.#machine = policy
    this.#policy = policy
    lapic.timer.ticksPerNs = vcpu.host.state.tscKhz / 1e6
  }

  enter(context: CpuContextView): void {
    this.#context = context
    this.isHere = true
    this.lapic.timer.tscOffset = Number(BigInt.asIntN(64, context.tscOffset))
  }

  leave(): void {
    this.isHere = false
    this.#takePriority()
    this.#context = undefined
  }

  work(bits: number): void {
    if (bits & WORK_PLATFORM) {
      this.lapic.restored()
      if (this.#context) this.#showPriority(this.#context)
    }
    if (bits & (WORK_EVENTS | WORK_PLATFORM)) this.#raiseUpcall()
  }

  #raiseUpcall(): void {
    const { upcallVector } = this.vcpu.state
    if (upcallVector !== 0 && upcallPending(this.vcpu)) this.lapic.raise(upcallVector)
  }

  /** After a register was written. A LAPIC that was disabled has ignored the upcall's edge. */
  #written(wasEnabled: boolean): void {
    if (this.#context) this.#showPriority(this.#context)
    if (!wasEnabled && this.lapic.enabled) this.#raiseUpcall()
  }

  takeStartup(saved: CpuContextView): boolean {
    const { hypervisor } = this.vcpu.host
    const at = this.vcpu.state.platformAt + PvhVcpuState.offsets.startup >>> 2
    const startup = Atomics.exchange(hypervisor.cells, at, 0)
    if ((startup & STARTUP_WAITS) === 0) return false
    startState(saved, startup & 0xff, this.#policy.signature)
    this.lapic.initialise()
    saved.apicBase = this.lapic.base
    return true
  }

  get deadline(): number {
    return this.lapic.deadline
  }

  expire(now: number): void {
    this.lapic.expire(now)
  }

  pendingVector(): number {
    const callback = this.#callbackVector()
    if (callback !== NO_VECTOR && upcallPending(this.vcpu)) return callback
    this.#takePriority()
    return this.lapic.pendingVector()
  }

  accept(vector: number): void {
    if (vector !== this.#callbackVector() || !upcallPending(this.vcpu)) this.lapic.accept(vector)
  }

  /** The callback's does not: the guest may clear the pending byte itself. */
  keeps(vector: number): boolean {
    return vector !== this.#callbackVector()
  }

  offer(vector: number): void {
    this.lapic.offer(vector)
  }

  settle(vector: number, taken: boolean): void {
    this.lapic.settle(vector, taken)
  }

  endsQuietly(next: number): boolean {
    return endsQuietly(this.lapic, next)
  }

  end(): void {
    this.lapic.end()
  }

  /** The vector that HVM_PARAM_CALLBACK_IRQ chose, if that is how events come. */
  #callbackVector(): number {
    if (this.vcpu.state.upcallVector !== 0) return NO_VECTOR
    const { bytes, base } = this.vcpu.domain.state
    const at = base + DomainState.offsets.hvmParams + HVM_PARAM_CALLBACK_IRQ * 8
    if (bytes.getUint8(at + 7) !== HVM_PARAM_CALLBACK_TYPE_VECTOR) return NO_VECTOR
    return bytes.getUint8(at)
  }

  mmioRead(address: number, size: number): bigint {
    if (!this.#isLapicPage(address) || size > 4) return allOnes(size)
    return BigInt(this.lapic.mmioRead(address - LAPIC_BASE, size) >>> 0)
  }

  mmioWrite(address: number, size: number, value: bigint): void {
    if (!this.#isLapicPage(address) || size > 4) return
    this.#takePriority()
    const wasEnabled = this.lapic.enabled
    this.lapic.mmioWrite(address - LAPIC_BASE, size, Number(BigInt.asUintN(32, value)))
    this.#written(wasEnabled)
  }

  #isLapicPage(address: number): boolean {
    return address >= LAPIC_BASE && address < LAPIC_BASE + PAGE && !this.lapic.x2apic
      && (this.lapic.state.disabled & LAPIC_HARDWARE_DISABLED) === 0
  }

  portRead(_port: number, size: number): bigint {
    return allOnes(size)
  }

  portWrite(_port: number, _size: number, _value: bigint): void {
    // Nothing listens.
  }

  cpuid(leaf: number, subleaf: number): CpuidResult {
    const context = this.#context
    const state: GuestCpuidState = {
      cr4: context?.cr4 ?? 0n,
      xcr0: context?.xcr0 ?? 1n,
      apicId: this.vcpu.state.apicId,
      vcpuCount: this.vcpu.domain.vcpuCount,
      apicEnabled: (this.lapic.state.disabled & LAPIC_HARDWARE_DISABLED) === 0,
    }
    return pvhCpuid(this.vcpu, leaf, subleaf, this.#shown(), state)
  }

  #shown(): CpuPolicy {
    const { features, featuresSerial } = this.vcpu.domain.state
    if (featuresSerial !== this.#policySerial) {
      this.#policySerial = featuresSerial
      this.#policy = shownPolicy(this.#machine, features)
    }
    return this.#policy
  }

  readMsr(msr: number): bigint | undefined {
    if (msr === MSR.APIC_BASE) return this.lapic.base
    if (msr >= MSR.X2APIC_FIRST && msr <= MSR.X2APIC_LAST) {
      this.#takePriority()
      if (!this.lapic.readMsr(msr)) return undefined
      return BigInt(this.lapic.high >>> 0) << 32n | BigInt(this.lapic.low >>> 0)
    }
    if (msr === MSR.TSC_DEADLINE && this.lapic.offersTscDeadline) return this.lapic.tscDeadline
    if (msr === HYPERCALL_MSR || this.#relaxed) return 0n
    return undefined
  }

  writeMsr(msr: number, value: bigint): boolean {
    const low = Number(value & 0xffff_ffffn)
    const high = Number(value >> 32n & 0xffff_ffffn)
    if (msr === MSR.APIC_BASE) {
      if (!this.lapic.writeBase(low, high)) return false
      if (this.#context) this.#context.apicBase = this.lapic.base
      return true
    }
    if (msr >= MSR.X2APIC_FIRST && msr <= MSR.X2APIC_LAST) {
      this.#takePriority()
      const wasEnabled = this.lapic.enabled
      if (!this.lapic.writeMsr(msr, low, high)) return false
      this.#written(wasEnabled)
      return true
    }
    if (msr === MSR.TSC_DEADLINE && this.lapic.offersTscDeadline) {
      this.lapic.tscDeadline = value
      return true
    }
    if (msr === HYPERCALL_MSR) {
      const is32 = this.#context !== undefined && codeModeOf(this.#context) !== CODE_MODE_LONG
      latchSharedInfo(this.vcpu.domain, is32)
      this.#codeChanged = writeHypercallPage(this.vcpu.domain, value)
      return this.#codeChanged
    }
    return this.#relaxed
  }

  takeCodeChanged(): boolean {
    const changed = this.#codeChanged
    this.#codeChanged = false
    return changed
  }

  get #relaxed(): boolean {
    return (this.vcpu.domain.state.miscFlags & XEN_X86_MSR_RELAXED) !== 0
  }

  /** CR8 is a window on the task priority, which the processor keeps while it runs. */
  #takePriority(): void {
    const context = this.#context
    if (!context) return
    const cr8 = context.bytes.getUint8(context.base + CpuContext.offsets.cr8) & 15
    if (cr8 !== this.lapic.taskPriorityClass) this.lapic.taskPriorityClass = cr8
  }

  #showPriority(context: CpuContextView): void {
    const priority = this.lapic.taskPriorityClass
    if (Number(context.cr8) !== priority) context.cr8 = BigInt(priority)
  }
}

function allOnes(size: number): bigint {
  return (1n << BigInt(size * 8)) - 1n
}
