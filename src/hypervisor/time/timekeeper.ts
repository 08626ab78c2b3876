/**
 * Time as guests are shown it: system time, the TSC, the wall clock, runstates; and their timers.
 *
 * Obeys xen/include/public/xen.h (struct vcpu_time_info, wc_*) and vcpu.h. Every TSC counts host
 * time at the host's rate, so the scale never changes, and a time record is only written anew when
 * the guest sets its TSC or moves the record. System time is host time since the domain was made.
 *
 * No timer runs: whoever holds the vcpu asks for its next deadline and calls `expire`.
 */
import { assert } from '../../base/assert.ts'
import type { Abi } from '../../base/layout/scalar.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { ENOMEM } from '../../abi/xen/errno.ts'
import { SHUTDOWN_watchdog } from '../../abi/xen/sched.ts'
import {
  RUNSTATE_blocked, RUNSTATE_offline, RUNSTATE_runnable, VcpuRunstateInfo,
} from '../../abi/xen/vcpu.ts'
import { SharedInfo32 } from '../../abi/xen/shared-info-32.ts'
import {
  SharedInfo, VcpuInfo, VcpuTimeInfo, VIRQ_TIMER, VMASST_TYPE_runstate_update_flag,
  XEN_PVCLOCK_TSC_STABLE_BIT,
} from '../../abi/xen/xen.ts'
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { VPF_down, VPF_waits } from '../domain/state.ts'
import { Events } from '../events/events.ts'
import { vcpuInfoAt } from '../events/upcall.ts'
import type { Host } from '../host/host.ts'
import type { Subsystem, TimeService } from '../host/services.ts'
import { ticksOf, tscScale, type TscScale } from './scale.ts'
import { DomainTimeState, NO_DEADLINE, VcpuTimeState, WATCHDOGS } from './state.ts'

/** XEN_RUNSTATE_UPDATE, set while the record is being written: bit 63 of state_entry_time. */
const UPDATE = 0x80

/** A runstate record under one ABI, with the byte that UPDATE is in. */
function runstateRecord(abi: Abi) {
  const layout = VcpuRunstateInfo.for(abi)
  const bytes = new DataView(new ArrayBuffer(layout.size))
  const updateAt = layout.offsets.state_entry_time + 7
  return {
    bytes, view: layout.on(bytes), updateAt, updateByte: new DataView(bytes.buffer, updateAt, 1),
  }
}

export type VcpuTimeView = ViewOf<typeof VcpuTimeState>

export class Timekeeper implements TimeService, Subsystem {
  readonly name = 'time'
  readonly host: Host
  readonly #vcpu: VcpuTimeView
  readonly #khz: number
  readonly #scale: TscScale
  readonly #domain: ViewOf<typeof DomainTimeState>
  readonly #record: ViewOf<typeof VcpuTimeInfo>
  readonly #shared64: ViewOf<typeof SharedInfo>
  readonly #shared32: ViewOf<typeof SharedInfo32>
  readonly #recordBytes = new DataView(new ArrayBuffer(VcpuTimeInfo.size))
  readonly #copy = VcpuTimeInfo.on(this.#recordBytes)
  readonly #runstate64 = runstateRecord('x86_64')
  readonly #runstate32 = runstateRecord('x86_32')

  constructor(host: Host) {
    this.host = host
    this.#khz = host.state.tscKhz
    this.#scale = tscScale(this.#khz)
    this.#vcpu = VcpuTimeState.on(host.hypervisor.buffer)
    this.#domain = DomainTimeState.on(host.hypervisor.buffer)
    this.#record = VcpuTimeInfo.on(host.machine.buffer)
    this.#shared64 = SharedInfo.on(host.machine.buffer)
    this.#shared32 = SharedInfo32.on(host.machine.buffer)
  }

  static of(host: Host): Timekeeper {
    const time = host.services.time
    assert(time instanceof Timekeeper, 'the host was assembled without time')
    return time
  }

  /** The vcpu's part of the state. The same view each time. */
  stateOf(vcpu: Vcpu): VcpuTimeView {
    return this.#vcpu.at(vcpu.state.timeAt)
  }

  domainCreated(domain: Domain): number {
    const at = this.host.heap.allocate(DomainTimeState.size)
    if (at === 0) return -ENOMEM
    domain.state.timeAt = at
    domain.state.bornNs = Math.floor(domain.state.bornNs)
    for (let i = 0; i < WATCHDOGS; i++) this.watchdogs(domain).set(i, NO_DEADLINE)
    return 0
  }

  domainDestroyed(domain: Domain): void {
    const at = domain.state.timeAt
    domain.state.timeAt = 0
    if (at !== 0) this.host.heap.release(at, DomainTimeState.size)
  }

  vcpuCreated(vcpu: Vcpu): number {
    const at = this.host.heap.allocate(VcpuTimeState.size)
    if (at === 0) return -ENOMEM
    vcpu.state.timeAt = at
    const state = this.stateOf(vcpu)
    state.singleshot = NO_DEADLINE
    state.nextPeriodic = NO_DEADLINE
    state.pollDeadline = NO_DEADLINE
    state.tscOffset = -ticksOf(vcpu.domain.state.bornNs, this.#khz)
    state.runstate = RUNSTATE_offline
    state.runstateEntry = this.host.clock.now()
    this.updateVcpuTime(vcpu)
    return 0
  }

  vcpuDestroyed(vcpu: Vcpu): void {
    const at = vcpu.state.timeAt
    vcpu.state.timeAt = 0
    if (at !== 0) this.host.heap.release(at, VcpuTimeState.size)
  }

  /** Nanoseconds since the domain was made. */
  systemTime(domain: Domain): number {
    return Math.floor(this.host.clock.now() - domain.state.bornNs)
  }

  watchdogs(domain: Domain): ViewOf<typeof DomainTimeState>['watchdogs'] {
    return this.#domain.at(domain.state.timeAt).watchdogs
  }

  updateWallClock(domain: Domain): void {
    const mfn = domain.state.sharedInfoMfn
    if (mfn === 0) return
    const { clock } = this.host
    const sinceBoot = this.systemTime(domain)
    const bornMs = clock.wallClockMs() - sinceBoot / 1e6 + domain.state.timeOffsetSeconds * 1000
    const seconds = Math.max(0, Math.floor(bornMs / 1000))
    const shared64 = this.#shared64.at(mfn * 4096)
    const shared32 = this.#shared32.at(mfn * 4096)
    const is32 = domain.state.sharedInfo32 !== 0
    const shared = is32 ? shared32 : shared64
    const version = shared.wc_version
    shared.wc_version = (version | 1) >>> 0
    shared.wc_sec = seconds % 0x1_0000_0000
    const high = is32 ? shared32.arch : shared64
    high.wc_sec_hi = Math.floor(seconds / 0x1_0000_0000)
    shared.wc_nsec = Math.floor((bornMs - seconds * 1000) * 1e6) % 1e9
    shared.wc_version = (version | 1) + 1 >>> 0
  }

  updateVcpuTime(vcpu: Vcpu): void {
    const info = vcpuInfoAt(vcpu)
    if (vcpu.state.timeAt === 0) return
    const now = Math.floor(this.host.clock.now())
    if (info >= 0) this.#write(this.#record.at(info + VcpuInfo.offsets.time), vcpu, now)
    this.showTimeArea(vcpu)
  }

  /** Writes the copy of the time record that the guest asked for, if it is mapped now. */
  showTimeArea(vcpu: Vcpu): void {
    const area = this.stateOf(vcpu).timeArea
    if (area === 0 || !vcpu.memory.copyIn(this.#recordBytes, area, VcpuTimeInfo.size)) return
    this.#write(this.#copy, vcpu, Math.floor(this.host.clock.now()))
    vcpu.memory.copyOut(this.#recordBytes, area, VcpuTimeInfo.size)
  }

  /** The version is odd while the rest changes (vcpu_time_info's protocol). */
  #write(record: ViewOf<typeof VcpuTimeInfo>, vcpu: Vcpu, now: number): void {
    const version = record.version
    record.version = (version | 1) >>> 0
    const ticks = ticksOf(now, this.#khz) + this.stateOf(vcpu).tscOffset
    record.tsc_timestamp = BigInt.asUintN(64, BigInt(ticks))
    record.system_time = BigInt(Math.max(0, now - vcpu.domain.state.bornNs))
    record.tsc_to_system_mul = this.#scale.mul
    record.tsc_shift = this.#scale.shift
    record.flags = XEN_PVCLOCK_TSC_STABLE_BIT
    record.version = (version | 1) + 1 >>> 0
  }

  /** The guest's TSC is set: `offset` is what it reads at host time 0. */
  setTscOffset(vcpu: Vcpu, offset: number): void {
    this.stateOf(vcpu).tscOffset = Math.floor(offset)
    this.updateVcpuTime(vcpu)
  }

  /** Host time at which `expire` has something to do for the vcpu. */
  nextDeadline(vcpu: Vcpu): number {
    if (vcpu.state.timeAt === 0) return NO_DEADLINE
    const state = this.stateOf(vcpu)
    let next = Math.min(state.singleshot, state.nextPeriodic, state.pollDeadline)
    if (vcpu.id === 0) {
      const watchdogs = this.watchdogs(vcpu.domain)
      for (let i = 0; i < WATCHDOGS; i++) next = Math.min(next, watchdogs.get(i))
    }
    return next
  }

  /** Fires what is due. */
  expire(vcpu: Vcpu, now: number): void {
    if (vcpu.state.timeAt === 0) return
    const state = this.stateOf(vcpu)
    let tick = false
    if (now >= state.singleshot) {
      state.singleshot = NO_DEADLINE
      tick = true
    }
    if (now >= state.nextPeriodic) {
      const missed = Math.floor((now - state.nextPeriodic) / state.periodNs)
      state.nextPeriodic += (missed + 1) * state.periodNs
      tick = true
    }
    if (now >= state.pollDeadline) {
      state.pollDeadline = NO_DEADLINE
      Events.of(this.host).endPoll(vcpu)
    }
    if (tick) this.host.services.events.sendVcpuVirq(vcpu, VIRQ_TIMER)
    if (vcpu.id === 0) this.#watch(vcpu.domain, now)
  }

  #watch(domain: Domain, now: number): void {
    const watchdogs = this.watchdogs(domain)
    for (let i = 0; i < WATCHDOGS; i++) {
      if (now < watchdogs.get(i)) continue
      watchdogs.set(i, NO_DEADLINE)
      this.host.console.print(`Watchdog timer fired for domain ${domain.id}`)
      domain.shutdown(SHUTDOWN_watchdog)
    }
  }

  /** Accounts the time until now to the old runstate and begins the new one. */
  changeRunstate(vcpu: Vcpu, runstate: number, now: number): void {
    const state = this.stateOf(vcpu)
    const before = state.runstate
    const spent = Math.max(0, now - state.runstateEntry)
    state.times.set(before, state.times.get(before) + spent)
    state.runstate = runstate
    state.runstateEntry = now
  }

  /** Shows the runstate in the area that the guest registered, if that is mapped now. */
  showRunstate(vcpu: Vcpu): void {
    const area = this.stateOf(vcpu).runstateArea
    if (area === 0) return
    const { memory } = vcpu
    const isFlagged = (vcpu.domain.state.vmAssist >>> VMASST_TYPE_runstate_update_flag & 1) !== 0
    const is32 = vcpu.domain.state.sharedInfo32 !== 0
    const { bytes, view, updateAt, updateByte } = is32 ? this.#runstate32 : this.#runstate64
    this.describeRunstate(vcpu, view)
    if (isFlagged) {
      updateByte.setUint8(0, UPDATE)
      if (!memory.copyOut(updateByte, area + updateAt, 1)) return
    }
    memory.copyOut(bytes, area, bytes.byteLength)
    if (!isFlagged) return
    updateByte.setUint8(0, 0)
    memory.copyOut(updateByte, area + updateAt, 1)
  }

  /** Fills a runstate record: what is written to the guest, and VCPUOP_get_runstate_info. */
  describeRunstate(vcpu: Vcpu, into: ViewOf<typeof VcpuRunstateInfo>): void {
    const state = this.stateOf(vcpu)
    const born = vcpu.domain.state.bornNs
    const now = this.host.clock.now()
    into.state = state.runstate
    into.state_entry_time = Math.max(0, Math.floor(state.runstateEntry - born))
    for (let i = 0; i < 4; i++) {
      const current = i === state.runstate ? Math.max(0, now - state.runstateEntry) : 0
      into.time.set(i, Math.floor(state.times.get(i) + current))
    }
  }
}

/** The runstate of a vcpu that no core runs. */
export function restingRunstate(vcpu: Vcpu): number {
  const { flags } = vcpu.state
  if (flags & VPF_down || vcpu.state.pauseCount !== 0 || vcpu.domain.state.pauseCount !== 0) {
    return RUNSTATE_offline
  }
  return flags & VPF_waits ? RUNSTATE_blocked : RUNSTATE_runnable
}
