/**
 * Making a PVH domain: the calls that libxl makes between "create" and "unpause", in its order.
 *
 * A domain is created empty, and is built once it is known what it boots. Built, it is paused, its
 * memory written, vcpu 0 at the kernel's entry, its xenstore and console pages and ports in place.
 */
import {
  asDomid, asGrantRef, type Domid, type EvtchnPort, type Gfn,
} from '../../abi/numbers.ts'
import type { FeatureWord } from '../../abi/x86/cpuid.ts'
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm } from '../../abi/xen/domctl.ts'
import { GNTTAB_RESERVED_CONSOLE, GNTTAB_RESERVED_XENSTORE } from
  '../../abi/xen/grant_table.ts'
import {
  HVM_PARAM_ALTP2M, HVM_PARAM_BUFIOREQ_PFN, HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_IDENT_PT, HVM_PARAM_IOREQ_PFN, HVM_PARAM_MONITOR_RING_PFN, HVM_PARAM_PAGING_RING_PFN,
  HVM_PARAM_SHARING_RING_PFN, HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN, HVM_PARAM_TIMER_MODE,
} from '../../abi/xen/hvm/params.ts'
import { XEN_X86_EMU_LAPIC } from '../../abi/xen/xen.ts'
import { type ControlDomain, type CreateDomainConfig, type Xenctrl, XenError } from
  '../../dom0/interfaces.ts'
import { startContext } from '../build/hvm-context.ts'
import { type PvhImage, writePvhImage } from '../build/pvh-image.ts'
import { errorText } from './error-text.ts'
import { populateRange } from './extents.ts'
import { type DomainSpec, ERROR_FAIL, LibxlError } from './libxl.ts'
import { placeDomain } from './placement.ts'
import { setVnuma } from './vnuma.ts'

/** What others need to know of a domain just built. */
export interface BuiltDomain {
  readonly domid: Domid
  readonly storeGfn: Gfn
  readonly storePort: EvtchnPort
  readonly consoleGfn: Gfn
  readonly consolePort: EvtchnPort
}

const CONTROL_DOMAIN = asDomid(0)
/** HVMPTM_no_delay_for_missed_ticks, libxl's choice. */
const TIMER_MODE = 1
/** libxl gives the domain this much beyond its memory, for special pages. */
const MEMORY_SLACK_KIB = 1024
const CONSOLE_REF = asGrantRef(GNTTAB_RESERVED_CONSOLE)
const STORE_REF = asGrantRef(GNTTAB_RESERVED_XENSTORE)

/** Builds what `image` was planned for in a domain without memory; LibxlError when it cannot be. */
export function buildPvhDomain(
  control: ControlDomain, spec: DomainSpec, domid: Domid, image: PvhImage,
): BuiltDomain {
  checkFree(control.xenctrl, spec)
  try {
    return build(control, spec, domid, image)
  } catch (cause) {
    if (!(cause instanceof XenError)) throw cause
    throw new LibxlError(ERROR_FAIL, `cannot make domain: ${cause.message}`, { cause })
  }
}

function checkFree(xenctrl: Xenctrl, spec: DomainSpec): void {
  const { freePages, outstandingPages } = xenctrl.physinfo()
  const free = freePages - outstandingPages
  const neededKib = isGrowing(spec) ? spec.memoryKib : spec.maxMemoryKib
  if (free * 4 >= neededKib) return
  throw new LibxlError(ERROR_FAIL, `can't allocate memory for domain: ` +
    `${neededKib >> 10} MB asked for, ${free >> 8} MB free: Out of memory`)
}

/** A guest takes what is in its map for granted until its balloon driver runs: what it shall not
 * keep is populated on demand. Memory of nodes of its own is all there from the start. */
function isGrowing({ memoryKib, maxMemoryKib, vnuma }: DomainSpec): boolean {
  return memoryKib < maxMemoryKib && !vnuma?.length
}

/** Creates a domain that has nothing yet; LibxlError when there can be none. */
export function createPvhDomain(
  xenctrl: Xenctrl, spec: DomainSpec, handle: Uint8Array, cpupool: number,
): Domid {
  // That there is too little had better be known before a boot loader asks anything.
  checkFree(xenctrl, spec)
  try {
    return xenctrl.createDomain({
      handle,
      flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
      maxVcpus: spec.maxVcpus,
      cpupool,
      emulationFlags: XEN_X86_EMU_LAPIC,
      ...limitsOf(spec),
    })
  } catch (cause) {
    if (!(cause instanceof XenError)) throw cause
    throw new LibxlError(ERROR_FAIL, `domain creation fail: ${errorText(cause.errno)}\n` +
      `cannot make domain: ${ERROR_FAIL}`, { cause })
  }
}

/** What a domain may have of the hypervisor, where its configuration says so. */
function limitsOf(spec: DomainSpec): Partial<CreateDomainConfig> {
  const { maxEventChannels, maxGrantFrames, maxGrantVersion, maxMaptrackFrames } = spec
  return {
    ...maxEventChannels === undefined ? {} : { maxEvtchnPort: maxEventChannels },
    ...maxGrantFrames === undefined ? {} : { maxGrantFrames },
    ...maxMaptrackFrames === undefined ? {} : { maxMaptrackFrames },
    ...maxGrantVersion === undefined ? {} : { grantVersion: maxGrantVersion },
  }
}

/** Of each feature word that is not as usual what may be shown of it. */
function featuresOf({ cpuFeatures = [] }: DomainSpec) {
  const features = new Map<FeatureWord, number>()
  for (const { word, bit, value } of cpuFeatures) {
    if (value === 'x') continue
    const before = features.get(word) ?? 0xffff_ffff
    features.set(word, (value === '0' ? before & ~(1 << bit) : before | 1 << bit) >>> 0)
  }
  return features
}

function build(
  control: ControlDomain, spec: DomainSpec, domid: Domid, image: PvhImage,
): BuiltDomain {
  const { xenctrl, events, memory } = control
  xenctrl.setMaxVcpus(domid, spec.maxVcpus)
  xenctrl.setMaxMem(domid, spec.maxMemoryKib + MEMORY_SLACK_KIB)
  const storePort = events.allocUnbound(domid, CONTROL_DOMAIN)
  const consolePort = events.allocUnbound(domid, CONTROL_DOMAIN)
  xenctrl.setHvmParam(domid, HVM_PARAM_TIMER_MODE, TIMER_MODE)
  xenctrl.setHvmParam(domid, HVM_PARAM_ALTP2M, 0)
  xenctrl.setTscInfo(domid, spec.tscMode, 0n, 0, 0)
  const features = featuresOf(spec)
  if (features.size > 0) xenctrl.setFeatures(domid, features)
  const { timeOffsetSeconds } = spec
  if (timeOffsetSeconds !== undefined) xenctrl.setTimeOffset(domid, timeOffsetSeconds)
  placeDomain(xenctrl, spec, domid)
  xenctrl.setPagingMempoolSize(domid, mempoolSizeOf(spec))
  if (image.numa) setVnuma(xenctrl, spec, domid, image.numa)
  if (isGrowing(spec)) populateOnDemand(control, spec, domid, image)
  else populateAll(control, spec, domid, image)
  xenctrl.setMemoryMap(domid, image.memoryMap)
  writePvhImage(image, {
    write: (physicalAddress, bytes) => memory.write(domid, physicalAddress, bytes),
  })
  if (isGrowing(spec)) checkRoom(control, spec, domid, image)
  xenctrl.setMaxMem(domid, spec.memoryKib + MEMORY_SLACK_KIB)
  setParameters(control, domid, image, storePort, consolePort)
  const fresh = xenctrl.getHvmContext(domid)
  xenctrl.setHvmContext(domid, startContext(fresh, image.startState, spec.maxVcpus))
  const { console, xenstore } = image.specialPages
  control.grants.seed(domid, CONSOLE_REF, CONTROL_DOMAIN, console)
  control.grants.seed(domid, STORE_REF, CONTROL_DOMAIN, xenstore)
  return { domid, storeGfn: xenstore, storePort, consoleGfn: console, consolePort }
}

function populateAll(
  { xenctrl }: ControlDomain, spec: DomainSpec, domid: Domid, image: PvhImage,
): void {
  // All of it or nothing, whoever else makes domains meanwhile.
  xenctrl.claimPages(domid, spec.maxMemoryKib >> 2)
  for (const range of [...image.ram, ...image.extra]) {
    const node = range.vnode === undefined ? undefined : spec.vnuma?.[range.vnode]?.pnode
    populateRange(range, (first, count, order) =>
      xenctrl.populateRange(domid, first, count, order, node))
  }
  xenctrl.claimPages(domid, 0)
}

function populateOnDemand(
  { xenctrl }: ControlDomain, spec: DomainSpec, domid: Domid, image: PvhImage,
): void {
  for (const range of image.ram) {
    populateRange(range, (first, count, order) =>
      xenctrl.populateLater(domid, first, count, order))
  }
  for (const range of image.extra) {
    populateRange(range, (first, count, order) =>
      xenctrl.populateRange(domid, first, count, order))
  }
  xenctrl.setPodTarget(domid, pagesOf(spec, image))
}

/** How many pages it begins with, special ones and all. */
function pagesOf({ memoryKib }: DomainSpec, { extra }: PvhImage): number {
  return extra.reduce((sum, { count }) => sum + count, memoryKib >> 2)
}

/** Kernel and ramdisk have been populated as they were written. */
function checkRoom(
  { xenctrl }: ControlDomain, spec: DomainSpec, domid: Domid, image: PvhImage,
): void {
  const { totalPages = 0 } = xenctrl.getDomainInfo(domid) ?? {}
  if (totalPages <= pagesOf(spec, image)) return
  throw new LibxlError(ERROR_FAIL, `${spec.memoryKib >> 10} MB are too few for kernel and ramdisk`)
}

/** libxl's rule: 256 pages a vcpu and one page a MiB, in whole MiB. */
function mempoolSizeOf(spec: DomainSpec): number {
  const kib = 4 * (256 * spec.maxVcpus + spec.maxMemoryKib / 1024)
  return Math.ceil(kib / 1024) * 1024 * 1024
}

function setParameters(
  control: ControlDomain, domid: Domid, image: PvhImage,
  storePort: EvtchnPort, consolePort: EvtchnPort,
): void {
  const pages = image.specialPages
  const parameters: [number, number][] = [
    [HVM_PARAM_STORE_PFN, pages.xenstore],
    [HVM_PARAM_BUFIOREQ_PFN, pages.bufioreq],
    [HVM_PARAM_IOREQ_PFN, pages.ioreq],
    [HVM_PARAM_CONSOLE_PFN, pages.console],
    [HVM_PARAM_PAGING_RING_PFN, pages.paging],
    [HVM_PARAM_MONITOR_RING_PFN, pages.access],
    [HVM_PARAM_SHARING_RING_PFN, pages.sharing],
    [HVM_PARAM_IDENT_PT, pages.identPt * 4096],
    [HVM_PARAM_CONSOLE_EVTCHN, consolePort],
    [HVM_PARAM_STORE_EVTCHN, storePort],
  ]
  for (const [parameter, value] of parameters) {
    control.xenctrl.setHvmParam(domid, parameter, value)
  }
}
