/**
 * HYPERVISOR_domctl: what control tools do to domains (xen/include/public/domctl.h, 0x15).
 *
 * The struct is the same for 32- and 64-bit callers. Commands that this hypervisor lacks are
 * -ENOSYS; docs/reference/hypercalls.md lists those that it has.
 */
import { EACCES, EFAULT, ENOSYS, ESRCH } from '../../../abi/xen/errno.ts'
import { XEN_DOMCTL_createdomain, XEN_DOMCTL_INTERFACE_VERSION, XenDomctl } from
  '../../../abi/xen/domctl.ts'
import { __HYPERVISOR_domctl } from '../../../abi/xen/xen.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import type { HypercallArgs } from '../args.ts'
import { columns, type Hypercall, type Status } from '../operation.ts'
import type { DomctlCommand } from './control.ts'
import { contextCommands } from './context.ts'
import { createdomain } from './createdomain.ts'
import { lifeCommands } from './life.ts'
import { schedCommands } from './sched.ts'
import { settingCommands } from './settings.ts'
import { vcpuCommands } from './vcpus.ts'
import { cpuPolicyCommands } from './cpu_policy.ts'
import { vnumaCommands } from './vnuma.ts'

const commands: readonly DomctlCommand[] = [
  ...lifeCommands, ...vcpuCommands, ...schedCommands, ...settingCommands, ...contextCommands,
  ...vnumaCommands,
  ...cpuPolicyCommands,
]
const byNumber = new Map(commands.map((command) => [command.number, command]))

const bytes = new DataView(new ArrayBuffer(XenDomctl.size))
const op = XenDomctl.on(bytes)

function domctl(caller: Vcpu, args: HypercallArgs): Status {
  const at = args.pointer(0)
  if (!caller.memory.copyIn(bytes, at, XenDomctl.size)) return -EFAULT
  if (op.interface_version !== XEN_DOMCTL_INTERFACE_VERSION) return -EACCES
  const { host } = caller
  const create = op.cmd === XEN_DOMCTL_createdomain
  const domain = create ? undefined : host.domain(op.domain, caller.domain)
  const refusal = host.xsm.domctl(caller.domain, domain, op.cmd)
  if (refusal < 0) return refusal
  let status: Status
  let answers: boolean
  if (create) {
    status = createdomain(caller, op)
    answers = true
  } else {
    if (!domain) return -ESRCH
    const command = byNumber.get(op.cmd)
    if (!command) return -ENOSYS
    status = command.run(caller, domain, op)
    answers = command.direction === 'inout'
  }
  if (status < 0 || !answers) return status
  return caller.memory.copyOut(bytes, at, XenDomctl.size) ? status : -EFAULT
}

export const domctlCall: Hypercall = {
  number: __HYPERVISOR_domctl,
  name: 'domctl',
  columns: columns.everyone,
  subops: [
    { number: XEN_DOMCTL_createdomain, name: 'createdomain', run: () => 0 },
    ...commands.map(({ number, name }) => ({ number, name, run: () => 0 })),
  ],
  run: domctl,
}
