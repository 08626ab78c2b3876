/**
 * domctl: a domain's vcpus — how many, where they may run, what became of them.
 */
import { EFAULT, EINVAL, ENOSYS, ESRCH } from '../../../abi/xen/errno.ts'
import { XEN_DOMCTL_getvcpuaffinity, XEN_DOMCTL_getvcpuinfo, XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_SCHEDOP_getinfo, XEN_DOMCTL_SCHEDOP_putinfo, XEN_DOMCTL_scheduler_op,
  XEN_DOMCTL_SENDTRIGGER_NMI, XEN_DOMCTL_sendtrigger, XEN_DOMCTL_setvcpuaffinity,
  XEN_SCHEDULER_CREDIT2, XEN_VCPUAFFINITY_HARD, XEN_VCPUAFFINITY_SOFT } from
  '../../../abi/xen/domctl.ts'
import type { ScalarArray } from '../../../base/layout/struct.ts'
import { createVcpus } from '../../domain/lifecycle.ts'
import { AFFINITY_WORDS, VPF_blocked, VPF_down, VPF_polling, WORK_NMI } from
  '../../domain/state.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import { type DomctlView, domctlCommand, getBitmap, putBitmap } from './control.ts'

const MAX_WEIGHT = 65535

function bitIn(words: ScalarArray<number>, count: number): (index: number) => boolean {
  return (index) => index < count && index < AFFINITY_WORDS * 32
    && (words.get(index >>> 5) >>> (index & 31) & 1) === 1
}

/** Which physical CPUs there are decides what an affinity may be: none of them is -EINVAL. */
function setAffinity(
  caller: Vcpu, words: ScalarArray<number>, map: { bitmap: number, nr_bits: number },
): number {
  const bytes = getBitmap(caller, map)
  if (!bytes) return -EFAULT
  const cores = caller.host.state.coreCount
  let any = false
  for (let i = 0; i < cores; i++) any ||= ((bytes[i >>> 3] ?? 0) >>> (i & 7) & 1) === 1
  if (!any) return -EINVAL
  for (let i = 0; i < AFFINITY_WORDS; i++) {
    let word = 0
    for (let j = 0; j < 4; j++) word |= (bytes[i * 4 + j] ?? 0) << j * 8
    words.set(i, word >>> 0)
  }
  return 0
}

function affinity(caller: Vcpu, vcpu: Vcpu | undefined, op: DomctlView, set: boolean): number {
  const { flags, cpumap_hard, cpumap_soft } = op.u.vcpuaffinity
  if ((flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)) === 0) return -EINVAL
  if (!vcpu) return -ESRCH
  const cores = caller.host.state.coreCount
  for (const kind of [XEN_VCPUAFFINITY_HARD, XEN_VCPUAFFINITY_SOFT]) {
    if ((flags & kind) === 0) continue
    const hard = kind === XEN_VCPUAFFINITY_HARD
    const words = hard ? vcpu.state.hardAffinity : vcpu.state.softAffinity
    const map = hard ? cpumap_hard : cpumap_soft
    const status = set ? setAffinity(caller, words, map) : 0
    if (status < 0) return status
    // A setting is answered cut to the CPUs that there are; a question is answered as it was set.
    const limit = set ? cores : AFFINITY_WORDS * 32
    if (!putBitmap(caller, map, bitIn(words, limit))) return -EFAULT
  }
  return 0
}

export const vcpuCommands = [
  domctlCommand(XEN_DOMCTL_max_vcpus, 'in', function max_vcpus(_caller, domain, op) {
    return op.u.max_vcpus.max === domain.vcpuCount ? createVcpus(domain) : -EINVAL
  }),
  domctlCommand(XEN_DOMCTL_getvcpuinfo, 'inout', function getvcpuinfo(_caller, domain, op) {
    const info = op.u.getvcpuinfo
    if (info.vcpu >= domain.vcpuCount) return -EINVAL
    const vcpu = domain.vcpu(info.vcpu)
    if (!vcpu) return -ESRCH
    const { flags, running, core } = vcpu.state
    info.online = flags & VPF_down ? 0 : 1
    info.blocked = flags & (VPF_blocked | VPF_polling) ? 1 : 0
    info.running = running !== 0 || domain.isControl ? 1 : 0
    info.cpu_time = Math.round(vcpu.cpuTimeNs())
    info.cpu = core
    return 0
  }),
  domctlCommand(XEN_DOMCTL_setvcpuaffinity, 'inout', function setvcpuaffinity(caller, domain, op) {
    return affinity(caller, domain.vcpu(op.u.vcpuaffinity.vcpu), op, true)
  }),
  domctlCommand(XEN_DOMCTL_getvcpuaffinity, 'inout', function getvcpuaffinity(caller, domain, op) {
    return affinity(caller, domain.vcpu(op.u.vcpuaffinity.vcpu), op, false)
  }),
  domctlCommand(XEN_DOMCTL_scheduler_op, 'inout', function scheduler_op(_caller, domain, op) {
    const request = op.u.scheduler_op
    if (request.sched_id !== XEN_SCHEDULER_CREDIT2) return -EINVAL
    const { credit2 } = request.u
    const { state } = domain
    switch (request.cmd) {
      case XEN_DOMCTL_SCHEDOP_getinfo:
        credit2.weight = state.sched.weight
        credit2.cap = state.sched.cap
        return 0
      case XEN_DOMCTL_SCHEDOP_putinfo:
        if (credit2.weight !== 0 && credit2.weight <= MAX_WEIGHT) {
          state.sched.weight = credit2.weight
        }
        if (credit2.cap !== 0xffff) state.sched.cap = credit2.cap
        return 0
      default: return -ENOSYS
    }
  }),
  domctlCommand(XEN_DOMCTL_sendtrigger, 'in', function sendtrigger(_caller, domain, op) {
    const { trigger, vcpu: id } = op.u.sendtrigger
    const vcpu = domain.vcpu(id)
    if (!vcpu) return -ESRCH
    if (trigger !== XEN_DOMCTL_SENDTRIGGER_NMI) return -ENOSYS
    vcpu.requestWork(WORK_NMI)
    vcpu.clearFlag(VPF_blocked)
    vcpu.wake()
    return 0
  }),
]
