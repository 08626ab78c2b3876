/**
 * HYPERVISOR_vcpu_op and HYPERVISOR_set_timer_op: vcpus up and down, their timers, and where their
 * state is shown (xen/include/public/vcpu.h).
 *
 * Left out: VCPUOP_initialise (PVH guests start processors through their LAPICs).
 */
import type { Place } from '../../base/layout/scalar.ts'
import type { Fields, Layout, View, ViewOf } from '../../base/layout/struct.ts'
import { EFAULT, EINVAL, ENOENT, ENXIO } from '../../abi/xen/errno.ts'
import { SHUTDOWN_poweroff } from '../../abi/xen/sched.ts'
import {
  VCPUOP_down, VCPUOP_get_physid, VCPUOP_get_runstate_info, VCPUOP_is_up,
  VCPUOP_register_runstate_memory_area, VCPUOP_register_vcpu_info,
  VCPUOP_register_vcpu_time_memory_area, VCPUOP_send_nmi, VCPUOP_set_periodic_timer,
  VCPUOP_set_singleshot_timer, VCPUOP_stop_periodic_timer, VCPUOP_stop_singleshot_timer,
  VCPUOP_up, VcpuRegisterRunstateMemoryArea, VcpuRegisterTimeMemoryArea,
  VcpuRegisterVcpuInfo, VcpuRunstateInfo, VcpuSetPeriodicTimer, VcpuSetSingleshotTimer,
} from '../../abi/xen/vcpu.ts'
import { __HYPERVISOR_set_timer_op, __HYPERVISOR_vcpu_op, VcpuInfo } from '../../abi/xen/xen.ts'
import { eventWords } from '../domain/shared-info.ts'
import { NO_FRAME, VPF_down, WORK_NMI } from '../domain/state.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { unblock, vcpuInfoAt } from '../events/upcall.ts'
import type { HypercallArgs } from '../hypercall/args.ts'
import {
  Argument, columns, type Hypercall, operation, plainSubop, simple, type Status, type Subop,
} from '../hypercall/operation.ts'
import { NO_DEADLINE } from './state.ts'
import { Timekeeper } from './timekeeper.ts'

const SHORTEST_PERIOD_NS = 1e6
const LONGEST_PERIOD_NS = 2 ** 62
/** Xen takes a time further ahead than this for a mistake, and fires soon. */
const FAR_NS = 2 ** 50
const SOON_NS = 100e6
const WORD = 0x1_0000_0000

/** The vcpu that the second argument names. */
function targetOf(caller: Vcpu, args: HypercallArgs): Vcpu | undefined {
  return caller.domain.vcpu(args.u32(1))
}

/** A sub-operation on a vcpu, without a struct. */
function on(
  number: number, name: string, run: (caller: Vcpu, target: Vcpu, argument: number) => Status,
): Subop {
  return plainSubop(number, name, (caller, argument, args) =>
    run(caller, targetOf(caller, args)!, argument))
}

/** One that takes or answers a struct as well. */
function withStruct<F extends Fields>(
  number: number, name: string, layout: Layout<F>, direction: 'in' | 'out',
  run: (caller: Vcpu, target: Vcpu, op: View<F>) => Status,
): Subop {
  const struct = new Argument(layout)
  const { bytes } = struct
  return plainSubop(number, name, (caller, argument, args) => {
    const target = targetOf(caller, args)!
    const size = struct.sizeFor(caller)
    if (direction === 'in' && !caller.memory.copyIn(bytes, argument, size)) return -EFAULT
    const status = run(caller, target, struct.viewFor(caller))
    if (status < 0 || direction === 'in') return status
    return caller.memory.copyOut(bytes, argument, size) ? status : -EFAULT
  })
}

function up(_caller: Vcpu, target: Vcpu): Status {
  if (target.state.initialised === 0) return -EINVAL
  if (target.clearFlag(VPF_down)) target.wake()
  return 0
}

/** The last vcpu that goes down takes its domain with it. */
export function down(_caller: Vcpu, target: Vcpu): Status {
  const { domain } = target
  target.setFlag(VPF_down)
  if (domain.onlineVcpus() === 0) {
    target.clearFlag(VPF_down)
    domain.shutdown(SHUTDOWN_poweroff)
    return 0
  }
  target.host.services.scheduler.sleep(target)
  target.kick()
  return 0
}

function isUp(_caller: Vcpu, target: Vcpu): Status {
  return target.state.flags & VPF_down ? 0 : 1
}

function getRunstate(_caller: Vcpu, target: Vcpu, op: ViewOf<typeof VcpuRunstateInfo>): Status {
  Timekeeper.of(target.host).describeRunstate(target, op)
  return 0
}

/** The linear address at the start of a struct; of a 32-bit caller's, only that word is set. */
function addressIn(caller: Vcpu, { bytes, position }: Place): number {
  const low = bytes.getUint32(position, true)
  return caller.compat ? low : bytes.getInt32(position + 4, true) * WORD + low
}

function registerRunstate(
  caller: Vcpu, target: Vcpu, op: ViewOf<typeof VcpuRegisterRunstateMemoryArea>,
): Status {
  const time = Timekeeper.of(target.host)
  time.stateOf(target).runstateArea = addressIn(caller, op)
  if (target.id === caller.id) time.showRunstate(caller)
  return 0
}

function registerTimeArea(
  caller: Vcpu, target: Vcpu, op: ViewOf<typeof VcpuRegisterTimeMemoryArea>,
): Status {
  const time = Timekeeper.of(target.host)
  time.stateOf(target).timeArea = addressIn(caller, op)
  if (target.id === caller.id) time.showTimeArea(caller)
  return 0
}

function setPeriodic(
  caller: Vcpu, target: Vcpu, op: ViewOf<typeof VcpuSetPeriodicTimer>,
): Status {
  if (target.id !== caller.id) return -EINVAL
  if (op.period_ns < SHORTEST_PERIOD_NS || op.period_ns > LONGEST_PERIOD_NS) return -EINVAL
  const state = Timekeeper.of(target.host).stateOf(target)
  state.periodNs = op.period_ns
  state.nextPeriodic = target.host.clock.now() + op.period_ns
  return 0
}

function stopPeriodic(caller: Vcpu, target: Vcpu): Status {
  if (target.id !== caller.id) return -EINVAL
  Timekeeper.of(target.host).stateOf(target).nextPeriodic = NO_DEADLINE
  return 0
}

/** Like Xen, ignores VCPU_SSHOTTMR_future: what is late fires at once. */
function setSingleshot(
  caller: Vcpu, target: Vcpu, op: ViewOf<typeof VcpuSetSingleshotTimer>,
): Status {
  if (target.id !== caller.id) return -EINVAL
  const time = Timekeeper.of(target.host)
  time.stateOf(target).singleshot = target.domain.state.bornNs + op.timeout_abs_ns
  return 0
}

function stopSingleshot(caller: Vcpu, target: Vcpu): Status {
  if (target.id !== caller.id) return -EINVAL
  Timekeeper.of(target.host).stateOf(target).singleshot = NO_DEADLINE
  return 0
}

/** Moves the vcpu's vcpu_info to where the guest wants it, once. */
function registerInfo(
  caller: Vcpu, target: Vcpu, op: ViewOf<typeof VcpuRegisterVcpuInfo>,
): Status {
  const { host, domain } = caller
  if (op.offset > 4096 - VcpuInfo.size || (op.offset & 7) !== 0) return -ENXIO
  const before = target.state.vcpuInfoMfn
  if (before !== NO_FRAME && before !== domain.state.sharedInfoMfn) return -EINVAL
  if (target.id !== caller.id && (target.state.flags & VPF_down) === 0) return -EINVAL
  domain.p2m.lock()
  const mfn = domain.p2m.frame(op.mfn, true)
  const taken = mfn !== 0 && mfn !== domain.state.sharedInfoMfn && host.frames.get(mfn)
  domain.p2m.unlock()
  if (!taken) return -EINVAL
  const to = mfn * 4096 + op.offset
  const from = vcpuInfoAt(target)
  const { octets, words } = host.machine
  if (from >= 0) octets.copyWithin(to, from, from + VcpuInfo.size)
  else octets.fill(0, to, to + VcpuInfo.size)
  target.state.vcpuInfoOffset = op.offset
  target.state.vcpuInfoMfn = mfn
  // Nothing that was raised at the old place may be lost: the guest looks at all words.
  const { selector, shift } = eventWords(domain)
  words.fill(0xffff_ffff, to + selector >>> 2, to + selector + 2 ** shift / 8 >>> 2)
  Atomics.store(octets, to, 1)
  Timekeeper.of(host).updateVcpuTime(target)
  host.services.events.vcpuInfoMoved?.(target)
  return 0
}

function sendNmi(_caller: Vcpu, target: Vcpu, argument: number): Status {
  if (argument !== 0) return -EINVAL
  target.requestWork(WORK_NMI)
  unblock(target)
  return 0
}

const vcpuOps = operation(__HYPERVISOR_vcpu_op, 'vcpu_op', [
  on(VCPUOP_up, 'up', up),
  on(VCPUOP_down, 'down', down),
  on(VCPUOP_is_up, 'is_up', isUp),
  withStruct(VCPUOP_get_runstate_info, 'get_runstate_info', VcpuRunstateInfo, 'out',
    getRunstate),
  withStruct(VCPUOP_register_runstate_memory_area, 'register_runstate_memory_area',
    VcpuRegisterRunstateMemoryArea, 'in', registerRunstate),
  withStruct(VCPUOP_set_periodic_timer, 'set_periodic_timer', VcpuSetPeriodicTimer, 'in',
    setPeriodic),
  on(VCPUOP_stop_periodic_timer, 'stop_periodic_timer', stopPeriodic),
  withStruct(VCPUOP_set_singleshot_timer, 'set_singleshot_timer', VcpuSetSingleshotTimer, 'in',
    setSingleshot),
  on(VCPUOP_stop_singleshot_timer, 'stop_singleshot_timer', stopSingleshot),
  withStruct(VCPUOP_register_vcpu_info, 'register_vcpu_info', VcpuRegisterVcpuInfo, 'in',
    registerInfo),
  on(VCPUOP_send_nmi, 'send_nmi', sendNmi),
  withStruct(VCPUOP_register_vcpu_time_memory_area, 'register_vcpu_time_memory_area',
    VcpuRegisterTimeMemoryArea, 'in', registerTimeArea),
  // Only of vcpus that are pinned because Dom0's command line says so.
  on(VCPUOP_get_physid, 'get_physid', () => -EINVAL),
], { columns: columns.everyone, argumentAt: 2 })

/** Whatever is asked, the vcpu is looked for first. */
export const vcpuOp: Hypercall = {
  ...vcpuOps,
  run: (caller, args) => targetOf(caller, args) ? vcpuOps.run(caller, args) : -ENOENT,
}

/** HYPERVISOR_set_timer_op: VIRQ_TIMER at a system time; 0 stops it. */
function setTimer(caller: Vcpu, args: HypercallArgs): Status {
  const timeout = caller.compat ? args.u32(0) + (args.u32(1) | 0) * WORD : args.pointer(0)
  const time = Timekeeper.of(caller.host)
  const now = time.systemTime(caller.domain)
  const state = time.stateOf(caller)
  const { bornNs } = caller.domain.state
  if (timeout === 0) state.singleshot = NO_DEADLINE
  else if (timeout < 0 || timeout - now > FAR_NS) state.singleshot = bornNs + now + SOON_NS
  else state.singleshot = bornNs + timeout
  return 0
}

export const setTimerCall = simple(__HYPERVISOR_set_timer_op, 'set_timer_op', setTimer,
  columns.everyone)
