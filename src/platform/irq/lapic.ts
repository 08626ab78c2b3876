/**
 * The local APIC of one vcpu: xAPIC at 0xfee00000 and x2APIC at MSRs 0x800 to 0x83f.
 *
 * Obeys SDM 3A chapter 10 and AMD APM 2 chapter 16. Vectors are raised with Atomics, so that
 * another core may raise one while the owner runs. The timer is polled: see lapic-timer.ts.
 *
 * Left out: level-triggered delivery modes other than those of the IOAPIC's EOI message, focus
 * processors, and the relocation of the page (a write of APIC_BASE with another address is #GP).
 */
import { atomicAnd, atomicOr } from '../../base/layout/atomics.ts'
import type { Clock } from '../../base/clock.ts'
import {
  APIC_BASE_BSP, APIC_BASE_ENABLE, APIC_BASE_EXTD, DELIVER, ESR_ILLEGAL_REGISTER,
  ESR_RECEIVE_ILLEGAL, ESR_SEND_ILLEGAL, LAPIC_BASE, LAPIC_HARDWARE_DISABLED,
  LAPIC_SOFTWARE_DISABLED, LAPIC_VERSION, type LapicRestView, LapicState, type LapicStateView,
  LVT_MASKED, lvtWritable, REG, SVR_ENABLE, TIMER_MODE_SHIFT, TIMER_TSC_DEADLINE,
} from './lapic-state.ts'
import { LapicTimer } from './lapic-timer.ts'
import { x2Readable, x2Writable } from './x2apic.ts'

const regsAt = LapicState.offsets.regs

/** Where interrupts that a LAPIC sends go, and what it tells others. */
export interface LapicBus {
  /** Carries an interrupt command of `source` to its targets. */
  send(source: Lapic, command: number, destination: number): void
  /** A level-triggered interrupt of this vector has ended. */
  ended(source: Lapic, vector: number): void
  /** The vcpu of this LAPIC may have an interrupt to take. */
  raised(target: Lapic): void
}

export class Lapic {
  readonly state: LapicStateView
  readonly rest: LapicRestView
  readonly vcpu: number
  readonly timer: LapicTimer
  readonly #bus: LapicBus
  /** Whether CPUID offers the TSC-deadline mode. */
  readonly #tscDeadline: boolean
  /** The result of the last `readMsr` that succeeded. */
  low = 0
  high = 0

  constructor(
    state: LapicStateView, rest: LapicRestView, vcpu: number, clock: Clock, bus: LapicBus,
    tscDeadline = true,
  ) {
    this.state = state
    this.rest = rest
    this.vcpu = vcpu
    this.timer = new LapicTimer(state, rest, clock)
    this.#bus = bus
    this.#tscDeadline = tscDeadline
  }

  /** Power-on state: enabled in xAPIC mode, id twice the vcpu's number. */
  reset(): void {
    const state = this.state
    this.rest.id = this.vcpu * 2
    state.apic_base_msr = BigInt(
      LAPIC_BASE + (APIC_BASE_ENABLE | (this.vcpu === 0 ? APIC_BASE_BSP : 0)))
    state.disabled = LAPIC_SOFTWARE_DISABLED
    this.initialise()
  }

  /** What an INIT does: all registers but the id and the base go back to their first values. */
  initialise(): void {
    const regs = this.state.regs
    for (let i = 0; i < 256; i++) regs.set(i, 0)
    this.#set(REG.VERSION, LAPIC_VERSION)
    this.#set(REG.SVR, 0xff)
    this.#set(REG.DFR, 0xffff_ffff)
    for (let lvt = REG.LVT_TIMER as number; lvt <= REG.LVT_ERROR; lvt += 16) {
      this.#set(lvt, LVT_MASKED)
    }
    const state = this.state
    state.disabled |= LAPIC_SOFTWARE_DISABLED
    state.timer_divisor = 2
    state.tdt_msr = 0n
    this.rest.timerDeadline = Infinity
    this.rest.timerStart = 0
    this.rest.pendingErrors = 0
    this.#showId()
  }

  /** Takes over the state after it was written by a restore of the save records. */
  restored(): void {
    this.rest.id = this.vcpu * 2
    this.rest.pendingErrors = 0
    this.#showId()
    if (this.timer.mode === TIMER_TSC_DEADLINE) this.timer.armDeadline()
    else this.timer.start()
  }

  get x2apic(): boolean {
    return (Number(this.state.apic_base_msr & 0xfffn) & APIC_BASE_EXTD) !== 0
  }

  get enabled(): boolean {
    return this.state.disabled === 0
  }

  /** The id by which interrupts reach this LAPIC in physical mode. */
  get physicalId(): number {
    return this.x2apic ? this.rest.id : this.#get(REG.ID) >>> 24
  }

  /** Raises `vector`; answers whether it was not already waiting. A disabled APIC ignores it. */
  raise(vector: number, level = false): boolean {
    if (!this.enabled) return false
    if (vector < 16) {
      this.#error(ESR_RECEIVE_ILLEGAL)
      return false
    }
    const at = (vector >>> 5) * 16
    const bit = 1 << (vector & 31)
    if (level) atomicOr(this.state, regsAt + REG.TMR + at, bit)
    else atomicAnd(this.state, regsAt + REG.TMR + at, ~bit)
    const before = atomicOr(this.state, regsAt + REG.IRR + at, bit)
    this.#bus.raised(this)
    return (before & bit) === 0
  }

  /** The vector that would be delivered now, or -1. */
  pendingVector(): number {
    if (!this.enabled) return -1
    const vector = this.#highest(REG.IRR)
    if (vector < 0) return -1
    return (vector & 0xf0) > (this.#priority() & 0xf0) ? vector : -1
  }

  /** Moves `vector` from requested to in service, as the processor takes it. */
  accept(vector: number): void {
    this.offer(vector)
    this.settle(vector, true)
  }

  /** Holds `vector` out to the processor, which may take it at any time until `settle`: whoever
   * requests it meanwhile requests it once more. */
  offer(vector: number): void {
    atomicAnd(this.state, regsAt + REG.IRR + (vector >>> 5) * 16, ~(1 << (vector & 31)))
  }

  /** What was held out is in service, or is requested as before. */
  settle(vector: number, taken: boolean): void {
    const register = taken ? REG.ISR : REG.IRR
    atomicOr(this.state, regsAt + register + (vector >>> 5) * 16, 1 << (vector & 31))
  }

  /** CR8, which is the upper half of the task priority. */
  get taskPriorityClass(): number {
    return this.#get(REG.TPR) >>> 4 & 15
  }

  set taskPriorityClass(value: number) {
    this.#set(REG.TPR, (value & 15) << 4)
  }

  /** Host time in ns at which `expire` has something to do; Infinity for never. */
  get deadline(): number {
    return this.rest.timerDeadline
  }

  /** Fires the timer if its time has come. */
  expire(now: number): void {
    if (!this.timer.expire(now)) return
    const lvt = this.#get(REG.LVT_TIMER)
    if ((lvt & LVT_MASKED) === 0) this.raise(lvt & 0xff)
  }

  /** Reads through the page; `offset` counts from its start. */
  mmioRead(offset: number, size: number): number {
    const skew = offset & 3
    if (skew + size > 4 || (offset & 0xc) !== 0) return 0
    const value = this.#read(offset & 0xff0) >>> skew * 8
    return size === 4 ? value : value & (1 << size * 8) - 1
  }

  mmioWrite(offset: number, size: number, value: number): void {
    const skew = offset & 3
    if (skew + size > 4 || (offset & 0xc) !== 0) return
    const register = offset & 0xff0
    if (size === 4) {
      this.#write(register, value >>> 0)
      return
    }
    const mask = (1 << size * 8) - 1 << skew * 8
    this.#write(register, (this.#read(register) & ~mask | value << skew * 8 & mask) >>> 0)
  }

  /** Reads x2APIC MSR `msr` into `low` and `high`; false is #GP(0). */
  readMsr(msr: number): boolean {
    if (!this.x2apic) return false
    const register = (msr - 0x800) * 16
    if (!x2Readable(register)) return false
    this.low = this.#read(register)
    this.high = register === REG.ICR ? this.#get(REG.ICR2) : 0
    return true
  }

  /** Writes x2APIC MSR `msr`; false is #GP(0). */
  writeMsr(msr: number, low: number, high: number): boolean {
    if (!this.x2apic) return false
    const register = (msr - 0x800) * 16
    if (!x2Writable(register, low, high)) return false
    if (register === REG.ICR) {
      this.#set(REG.ICR2, high)
      this.#set(REG.ICR, low & 0xdfff)
      this.#command(low, high >>> 0)
    } else if (register === REG.SELF_IPI) {
      this.raise(low & 0xff)
    } else {
      this.#write(register, low >>> 0)
    }
    return true
  }

  /** Writes MSR APIC_BASE; false is #GP(0). */
  writeBase(low: number, high: number): boolean {
    const flags = APIC_BASE_BSP | APIC_BASE_EXTD | APIC_BASE_ENABLE
    if (high !== 0 || (low & ~flags) >>> 0 !== LAPIC_BASE) return false
    const old = Number(this.state.apic_base_msr & 0xfffn)
    const wasOn = (old & APIC_BASE_ENABLE) !== 0
    const on = (low & APIC_BASE_ENABLE) !== 0
    const extended = (low & APIC_BASE_EXTD) !== 0
    if (extended && !on) return false
    if (extended && !wasOn) return false
    if (!extended && on && (old & APIC_BASE_EXTD) !== 0) return false
    this.state.apic_base_msr = BigInt(low >>> 0)
    if (wasOn && !on) {
      this.state.disabled |= LAPIC_HARDWARE_DISABLED
    } else if (!wasOn && on) {
      this.state.disabled &= ~LAPIC_HARDWARE_DISABLED
      this.initialise()
    }
    this.#showId()
    return true
  }

  get base(): bigint {
    return this.state.apic_base_msr
  }

  /** MSR TSC_DEADLINE: reads as zero unless its mode is on and the time is still to come. */
  get tscDeadline(): bigint {
    return this.timer.mode === TIMER_TSC_DEADLINE ? this.state.tdt_msr : 0n
  }

  set tscDeadline(value: bigint) {
    if (this.timer.mode !== TIMER_TSC_DEADLINE) return
    this.state.tdt_msr = value
    this.timer.armDeadline()
  }

  get offersTscDeadline(): boolean {
    return this.#tscDeadline
  }

  #get(register: number): number {
    return this.state.regs.get(register >>> 2)
  }

  #set(register: number, value: number): void {
    this.state.regs.set(register >>> 2, value)
  }

  /** The highest vector whose bit is set in the 256 bits that begin at `register`, or -1. */
  #highest(register: number): number {
    const regs = this.state.regs
    for (let i = 7; i >= 0; i--) {
      const word = regs.get(register + i * 16 >>> 2)
      if (word !== 0) return i * 32 + 31 - Math.clz32(word)
    }
    return -1
  }

  /** The processor priority: the greater class of the task's and of what is in service. */
  #priority(): number {
    const task = this.#get(REG.TPR) & 0xff
    const service = Math.max(this.#highest(REG.ISR), 0)
    return (task & 0xf0) >= (service & 0xf0) ? task : service & 0xf0
  }

  #read(register: number): number {
    switch (register) {
      case REG.PPR: return this.#priority()
      case REG.TIMER_CURRENT: return this.timer.currentCount()
      case REG.EOI:
      case REG.SELF_IPI: return 0
      default: return register < 0x400 ? this.#get(register) : 0
    }
  }

  #write(register: number, value: number): void {
    switch (register) {
      case REG.ID:
        if (!this.x2apic) this.#set(REG.ID, value & 0xff00_0000)
        return
      case REG.TPR: this.#set(REG.TPR, value & 0xff); return
      case REG.EOI: this.end(); return
      case REG.LDR:
        if (!this.x2apic) this.#set(REG.LDR, value & 0xff00_0000)
        return
      case REG.DFR:
        if (!this.x2apic) this.#set(REG.DFR, (value | 0x0fff_ffff) >>> 0)
        return
      case REG.SVR: this.#writeSpurious(value); return
      case REG.ESR:
        this.#set(REG.ESR, this.rest.pendingErrors)
        this.rest.pendingErrors = 0
        return
      case REG.ICR:
        this.#set(REG.ICR, value & ~(1 << 12))
        this.#command(value, this.#get(REG.ICR2) >>> 24)
        return
      case REG.ICR2: this.#set(REG.ICR2, value & 0xff00_0000); return
      case REG.LVT_TIMER:
      case REG.LVT_THERMAL:
      case REG.LVT_PERF:
      case REG.LVT_LINT0:
      case REG.LVT_LINT1:
      case REG.LVT_ERROR: this.#writeVectorEntry(register, value); return
      case REG.TIMER_INITIAL:
        if (this.timer.mode === TIMER_TSC_DEADLINE) return
        this.#set(REG.TIMER_INITIAL, value)
        this.timer.start()
        return
      case REG.TIMER_DIVIDE: this.timer.divide(value); return
      default: this.#error(ESR_ILLEGAL_REGISTER)
    }
  }

  #writeSpurious(value: number): void {
    this.#set(REG.SVR, value & 0x3ff)
    if (value & SVR_ENABLE) {
      this.state.disabled &= ~LAPIC_SOFTWARE_DISABLED
      return
    }
    this.state.disabled |= LAPIC_SOFTWARE_DISABLED
    for (let lvt = REG.LVT_TIMER as number; lvt <= REG.LVT_ERROR; lvt += 16) {
      this.#set(lvt, this.#get(lvt) | LVT_MASKED)
    }
  }

  #writeVectorEntry(register: number, value: number): void {
    let entry = value & lvtWritable(register)
    if ((this.#get(REG.SVR) & SVR_ENABLE) === 0) entry |= LVT_MASKED
    if (register === REG.LVT_TIMER) {
      const wantsDeadline = entry >>> TIMER_MODE_SHIFT & TIMER_TSC_DEADLINE
      if (wantsDeadline && !this.#tscDeadline) entry &= ~(TIMER_TSC_DEADLINE << TIMER_MODE_SHIFT)
      const old = this.timer.mode
      const mode = entry >>> TIMER_MODE_SHIFT & 3
      this.#set(register, entry)
      // Going into or out of TSC-deadline mode disarms; the other two modes share a count.
      if ((old ^ mode) & TIMER_TSC_DEADLINE) this.timer.stop()
      return
    }
    this.#set(register, entry)
  }

  /** EOI: what is in service and highest is over. */
  end(): void {
    const vector = this.#highest(REG.ISR)
    if (vector < 0) return
    const at = (vector >>> 5) * 16
    const bit = 1 << (vector & 31)
    atomicAnd(this.state, regsAt + REG.ISR + at, ~bit)
    if (this.#get(REG.TMR + at) & bit) this.#bus.ended(this, vector)
  }

  #command(command: number, destination: number): void {
    const mode = command >>> 8 & 7
    if ((mode === DELIVER.FIXED || mode === DELIVER.LOWEST) && (command & 0xff) < 16) {
      this.#error(ESR_SEND_ILLEGAL)
      return
    }
    this.#bus.send(this, command >>> 0, destination)
  }

  /** Notes an error and raises the error vector, unless that is itself at fault. */
  #error(bit: number): void {
    if (this.rest.pendingErrors & bit) return
    this.rest.pendingErrors |= bit
    const lvt = this.#get(REG.LVT_ERROR)
    if ((lvt & LVT_MASKED) === 0 && (lvt & 0xff) >= 16) this.raise(lvt & 0xff)
  }

  #showId(): void {
    const id = this.rest.id
    if (!this.x2apic) {
      this.#set(REG.ID, id << 24 >>> 0)
      return
    }
    this.#set(REG.ID, id)
    this.#set(REG.LDR, (id >>> 4 << 16 | 1 << (id & 15)) >>> 0)
  }
}
