/**
 * XEN_DOMCTL_createdomain.
 */
import { EINVAL } from '../../../abi/xen/errno.ts'
import { XEN_DOMCTL_GRANT_version_mask } from '../../../abi/xen/domctl.ts'
import { asDomid } from '../../../abi/numbers.ts'
import { DOMID_FIRST_RESERVED } from '../../../abi/xen/xen.ts'
import { createDomain } from '../../domain/lifecycle.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import type { Status } from '../operation.ts'
import type { DomctlView } from './control.ts'

/** Answers the new domid in op.domain; 0 or a reserved number asks for any. */
export function createdomain(caller: Vcpu, op: DomctlView): Status {
  const config = op.u.createdomain
  const handle = new Uint8Array(16)
  for (let i = 0; i < 16; i++) handle[i] = config.handle.get(i)
  if (config.iommu_opts !== 0 || config.vmtrace_size !== 0) return -EINVAL
  const version = config.grant_opts & XEN_DOMCTL_GRANT_version_mask
  if (version < 1 || version > 2) return -EINVAL
  const domid = createDomain(caller.host, {
    domid: op.domain < DOMID_FIRST_RESERVED ? op.domain : 0,
    flags: config.flags,
    ssidref: config.ssidref,
    handle,
    maxVcpus: config.max_vcpus,
    maxEvtchnPort: config.max_evtchn_port,
    maxGrantFrames: config.max_grant_frames,
    maxMaptrackFrames: config.max_maptrack_frames,
    maxGrantVersion: version,
    emulationFlags: config.arch.emulation_flags,
    miscFlags: config.arch.misc_flags,
    cpupool: config.cpupool_id,
  })
  if (domid < 0) return domid
  op.domain = asDomid(domid)
  return 0
}
