/**
 * The security hooks: every operation on another domain, and every privileged one, asks here first.
 *
 * A hook answers 0 or a negative error. The dummy module is Xen's default policy: a privileged
 * domain may do everything, a domain may act on itself where that is harmless, and a domain with a
 * target may act on its target.
 */
import { EPERM } from '../../abi/xen/errno.ts'
import type { Domain } from '../domain/domain.ts'

export interface Xsm {
  /** Any sub-operation of domctl. */
  domctl(caller: Domain, target: Domain | undefined, cmd: number): number
  sysctl(caller: Domain, cmd: number): number
  platformOp(caller: Domain, cmd: number): number
  /** Changing another domain's reservation. */
  memoryAdjustReservation(caller: Domain, target: Domain): number
  /** Promising free frames to a domain. */
  claimPages(caller: Domain, target: Domain): number
  /** How much a domain has of what is populated on demand. */
  podTarget(caller: Domain, target: Domain): number
  /** Reading a domain's reservation or highest frame. */
  memoryStatReservation(caller: Domain, target: Domain): number
  addToPhysmap(caller: Domain, target: Domain): number
  removeFromPhysmap(caller: Domain, target: Domain): number
  /** Mapping `foreign`'s frames into `target`'s physical memory. */
  mapGmfnForeign(target: Domain, foreign: Domain): number
  memoryMap(caller: Domain, target: Domain): number
  getVnumainfo(caller: Domain, target: Domain): number
  resourceMap(caller: Domain, target: Domain): number
  hvmParam(caller: Domain, target: Domain): number
  hvmControl(caller: Domain, target: Domain): number
  consoleIo(caller: Domain, cmd: number): number
  /** Whether the privileged parts of xen_version are shown. */
  xenVersion(caller: Domain): number
  evtchnUnbound(caller: Domain, owner: Domain, remoteDomid: number): number
  evtchnInterdomain(caller: Domain, remote: Domain): number
  evtchnStatus(caller: Domain, owner: Domain): number
  evtchnReset(caller: Domain, owner: Domain): number
  grantMapref(caller: Domain, owner: Domain): number
  grantQuery(caller: Domain, owner: Domain): number
  grantSetup(caller: Domain, owner: Domain): number
  grantCopy(caller: Domain, owner: Domain): number
  schedOp(caller: Domain, target: Domain): number
}

/** Only Dom0 and its like. */
function privileged(caller: Domain): number {
  return caller.isPrivileged ? 0 : -EPERM
}

/** The domain itself, or whoever may control it. */
function targetOrSelf(caller: Domain, target: Domain | undefined): number {
  if (caller.isPrivileged || caller === target) return 0
  if (target && caller.id === target.id) return 0
  return control(caller, target)
}

/** Whoever may control `target`: a privileged domain, or its device model. */
function control(caller: Domain, target: Domain | undefined): number {
  if (caller.isPrivileged) return 0
  return target && caller.state.target === target.id + 1 ? 0 : -EPERM
}

export const dummyXsm: Xsm = {
  domctl: control,
  sysctl: privileged,
  platformOp: privileged,
  memoryAdjustReservation: targetOrSelf,
  claimPages: privileged,
  podTarget: privileged,
  memoryStatReservation: targetOrSelf,
  addToPhysmap: targetOrSelf,
  removeFromPhysmap: targetOrSelf,
  mapGmfnForeign: control,
  memoryMap: targetOrSelf,
  getVnumainfo: targetOrSelf,
  resourceMap: control,
  hvmParam: targetOrSelf,
  hvmControl: control,
  // As in Xen that is built for release.
  consoleIo: privileged,
  xenVersion: privileged,
  evtchnUnbound: targetOrSelf,
  evtchnInterdomain: () => 0,
  evtchnStatus: targetOrSelf,
  evtchnReset: targetOrSelf,
  grantMapref: () => 0,
  grantQuery: targetOrSelf,
  grantSetup: targetOrSelf,
  grantCopy: () => 0,
  schedOp: control,
}
