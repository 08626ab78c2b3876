/**
 * domctl: a domain's life — pausing, destroying, resuming, and how it is.
 */
import { EINVAL } from '../../../abi/xen/errno.ts'
import { XEN_DOMCTL_destroydomain, XEN_DOMCTL_getdomaininfo, XEN_DOMCTL_pausedomain,
  XEN_DOMCTL_resumedomain, XEN_DOMCTL_setdomainhandle, XEN_DOMCTL_unpausedomain } from
  '../../../abi/xen/domctl.ts'
import { destroyDomain } from '../../domain/lifecycle.ts'
import { domctlCommand } from './control.ts'
import { fillInfo } from './info.ts'

export const lifeCommands = [
  domctlCommand(XEN_DOMCTL_destroydomain, 'in', function destroydomain(caller, domain) {
    return domain.id === caller.domain.id || domain.isControl ? -EINVAL : destroyDomain(domain)
  }),
  domctlCommand(XEN_DOMCTL_pausedomain, 'in', function pausedomain(caller, domain) {
    if (domain.id === caller.domain.id) return -EINVAL
    domain.setControllerPause(true)
    return 0
  }),
  domctlCommand(XEN_DOMCTL_unpausedomain, 'in', function unpausedomain(_caller, domain) {
    domain.setControllerPause(false)
    return 0
  }),
  domctlCommand(XEN_DOMCTL_resumedomain, 'in', function resumedomain(caller, domain) {
    if (domain.id === caller.domain.id) return -EINVAL
    domain.resume()
    return 0
  }),
  domctlCommand(XEN_DOMCTL_getdomaininfo, 'inout', function getdomaininfo(_caller, domain, op) {
    op.domain = domain.id
    fillInfo(domain, op.u.getdomaininfo)
    return 0
  }),
  domctlCommand(XEN_DOMCTL_setdomainhandle, 'in', function setdomainhandle(_c, domain, op) {
    const { handle } = op.u.setdomainhandle
    for (let i = 0; i < 16; i++) domain.state.handle.set(i, handle.get(i))
    return 0
  }),
]
