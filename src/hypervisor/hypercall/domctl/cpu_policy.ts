/**
 * domctl: what a domain's processors claim to have.
 *
 * Of a policy's leaves those with feature words are taken, each as the bits that may be shown of
 * those that there are. The rest of them follows from the machine, and so do all MSRs.
 */
import { E2BIG, EEXIST, EFAULT, EOPNOTSUPP } from '../../../abi/xen/errno.ts'
import { XEN_DOMCTL_set_cpu_policy } from '../../../abi/xen/domctl.ts'
import { XEN_CPUID_NO_SUBLEAF, XenCpuidLeaf } from '../../../abi/xen/xen.ts'
import { featureWords, placeOf } from '../../../abi/x86/cpuid.ts'
import type { Domain } from '../../domain/domain.ts'
import { domctlCommand } from './control.ts'

/** More than a processor has. */
const MAX_LEAVES = 256

const places = featureWords.map(placeOf)
const bytes = new DataView(new ArrayBuffer(XenCpuidLeaf.size))
const given = XenCpuidLeaf.on(bytes)

/** Programs may have found out by now what there is. */
function hasRun(domain: Domain): boolean {
  for (let i = 0; i < domain.vcpuCount; i++) {
    if ((domain.vcpu(i)?.state.cpuTimeNs ?? 0) > 0) return true
  }
  return false
}

export const cpuPolicyCommands = [
  domctlCommand(XEN_DOMCTL_set_cpu_policy, 'in', function set_cpu_policy(caller, domain, op) {
    const { nr_leaves, nr_msrs, leaves } = op.u.cpu_policy
    if (nr_msrs !== 0) return -EOPNOTSUPP
    if (nr_leaves > MAX_LEAVES) return -E2BIG
    const { state } = domain
    if (hasRun(domain)) return -EEXIST
    for (let i = 0; i < nr_leaves; i++) {
      if (!caller.memory.copyIn(bytes, leaves + i * XenCpuidLeaf.size, XenCpuidLeaf.size)) {
        return -EFAULT
      }
      const subleaf = given.subleaf === XEN_CPUID_NO_SUBLEAF ? 0 : given.subleaf
      const registers = [given.a, given.b, given.c, given.d]
      for (const [word, place] of places.entries()) {
        if (place.leaf !== given.leaf || place.subleaf !== subleaf) continue
        state.features.set(word, registers[place.register]!)
      }
    }
    state.featuresSerial++
    return 0
  }),
]
