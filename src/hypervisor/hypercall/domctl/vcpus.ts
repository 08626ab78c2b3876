/**
 * domctl: a domain's vcpus — how many, what became of them, and interrupting them.
 */
import { EINVAL, ENOSYS, ESRCH } from '../../../abi/xen/errno.ts'
import {
  XEN_DOMCTL_getvcpuinfo, XEN_DOMCTL_max_vcpus, XEN_DOMCTL_sendtrigger, XEN_DOMCTL_SENDTRIGGER_NMI,
  XEN_DOMCTL_SENDTRIGGER_POWER, XEN_DOMCTL_SENDTRIGGER_SLEEP,
} from '../../../abi/xen/domctl.ts'
import { createVcpus } from '../../domain/lifecycle.ts'
import { VPF_down, WORK_NMI } from '../../domain/state.ts'
import { unblock } from '../../events/upcall.ts'
import { domctlCommand } from './control.ts'

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
    info.blocked = vcpu.isBlocked ? 1 : 0
    info.running = running !== 0 || domain.isControl ? 1 : 0
    info.cpu_time = Math.round(vcpu.cpuTimeNs())
    info.cpu = core
    return 0
  }),
  domctlCommand(XEN_DOMCTL_sendtrigger, 'in', function sendtrigger(_caller, domain, op) {
    const { trigger, vcpu: id } = op.u.sendtrigger
    const vcpu = domain.vcpu(id)
    if (!vcpu) return -ESRCH
    if (trigger === XEN_DOMCTL_SENDTRIGGER_POWER || trigger === XEN_DOMCTL_SENDTRIGGER_SLEEP) {
      // A PVH domain has no such buttons, and Xen presses them all the same.
      return domain.isControl ? -EINVAL : 0
    }
    if (trigger !== XEN_DOMCTL_SENDTRIGGER_NMI) return -ENOSYS
    vcpu.requestWork(WORK_NMI)
    unblock(vcpu)
    return 0
  }),
]
