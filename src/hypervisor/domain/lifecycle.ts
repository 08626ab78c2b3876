/**
 * How domains and vcpus come to be and go.
 *
 * A domain is created paused, without vcpus or memory. Destroying it stops its vcpus, gives back
 * what every part of the hypervisor holds for it, then its frames; frames that others still map
 * stay until they let go. Both happen under the host's domctl lock.
 */
import { assert } from '../../base/assert.ts'
import { EBUSY, EEXIST, EINVAL, ENOMEM } from '../../abi/xen/errno.ts'
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm, XEN_DOMCTL_CDF_xs_domain } from
  '../../abi/xen/domctl.ts'
import { DOMID_FIRST_RESERVED, VIRQ_DOM_EXC, XEN_LEGACY_MAX_VCPUS } from '../../abi/xen/xen.ts'
import { featureWords } from '../../abi/x86/cpuid.ts'
import { P2M_RAM_RW } from '../../cpu/p2m-format.ts'
import type { Host } from '../host/host.ts'
import { ALL_NODES } from '../host/nodes.ts'
import { HostState } from '../host/state.ts'
import { releaseVnuma } from '../memory/vnuma.ts'
import { Domain } from './domain.ts'
import { AFFINITY_WORDS, DomainState, LIFE, MAX_VCPUS, NO_FRAME, VcpuState, VPF_down } from
  './state.ts'

export interface DomainConfig {
  /** 0 lets the hypervisor choose. */
  readonly domid: number
  readonly flags: number
  readonly ssidref: number
  readonly handle: Uint8Array
  readonly maxVcpus: number
  readonly maxEvtchnPort: number
  readonly maxGrantFrames: number
  readonly maxMaptrackFrames: number
  readonly maxGrantVersion: number
  readonly emulationFlags: number
  readonly miscFlags: number
  /** Pool-0 when left out. */
  readonly cpupool?: number
}

const KNOWN_FLAGS = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_xs_domain
const DEFAULT_GRANT_FRAMES = 64
const DEFAULT_MAPTRACK_FRAMES = 1024
/** Leaves of the p2m that any domain may have beyond what its memory needs: 16 GiB scattered. */
const P2M_SLACK_FRAMES = 256

/** Creates a domain, paused: its domid, or a negative error. */
export function createDomain(host: Host, config: DomainConfig): number {
  if (config.maxVcpus < 1 || config.maxVcpus > MAX_VCPUS) return -EINVAL
  if (config.flags & ~KNOWN_FLAGS || !hasLimits(config)) return -EINVAL
  if ((config.flags & XEN_DOMCTL_CDF_hvm) === 0) return -EINVAL
  const lockAt = HostState.offsets.domctlLock
  host.domctlLock.acquire(lockAt)
  const status = createLocked(host, config)
  host.domctlLock.release(lockAt)
  return status
}

function createLocked(host: Host, config: DomainConfig): number {
  const domid = config.domid !== 0 ? config.domid : freeDomid(host)
  if (domid <= 0 || domid >= DOMID_FIRST_RESERVED) return -ENOMEM
  if (!host.isDomidFree(domid)) return -EEXIST
  const at = host.takeDomainBlock()
  if (at === 0) return -ENOMEM
  const domain = fill(host, at, domid, config)
  const status = equip(domain)
  if (status < 0) {
    dismantle(domain)
    host.returnDomainBlock(at)
    return status
  }
  host.bindDomid(domid, at)
  return domid
}

function freeDomid(host: Host): number {
  let domid = host.state.nextDomid
  for (let i = 0; i < DOMID_FIRST_RESERVED; i++, domid++) {
    if (domid >= DOMID_FIRST_RESERVED) domid = 1
    if (!host.isDomidFree(domid)) continue
    host.state.nextDomid = domid + 1
    return domid
  }
  return -1
}

function fill(host: Host, at: number, domid: number, config: DomainConfig): Domain {
  const state = DomainState.on(host.hypervisor.buffer, at)
  state.domid = domid as typeof state.domid
  state.life = LIFE.alive
  state.hvm = 1
  state.flags = config.flags
  state.ssidref = config.ssidref
  for (let i = 0; i < 16; i++) state.handle.set(i, config.handle[i] ?? 0)
  state.emulationFlags = config.emulationFlags
  state.miscFlags = config.miscFlags
  state.cpupool = config.cpupool ?? 0
  state.nodeAffinity = ALL_NODES
  state.maxVcpus = config.maxVcpus
  state.maxPages = 0
  state.claimedPages = 0
  state.podEntries = 0
  state.podTarget = 0
  state.zeroSweep = 0
  state.p2mFrameLimit = P2M_SLACK_FRAMES
  state.sharedInfoGfn = NO_FRAME
  state.pauseCount = 1
  state.controllerPauses = 1
  state.shutdownCode = 0xffff_ffff
  state.tscKhz = host.state.tscKhz
  state.bornNs = host.clock.now()
  for (const i of featureWords.keys()) state.features.set(i, 0xffff_ffff)
  state.featuresSerial++
  state.maxEvtchnPort = config.maxEvtchnPort
  state.maxGrantFrames = orDefault(config.maxGrantFrames, DEFAULT_GRANT_FRAMES)
  state.maxMaptrackFrames = orDefault(config.maxMaptrackFrames, DEFAULT_MAPTRACK_FRAMES)
  state.maxGrantVersion = config.maxGrantVersion
  return new Domain(host, at)
}

/** Whether the limits of its grant table are among those that the machine allows. */
function hasLimits({ maxGrantFrames, maxMaptrackFrames }: DomainConfig): boolean {
  return maxGrantFrames !== 0 && maxGrantFrames <= DEFAULT_GRANT_FRAMES
    && maxMaptrackFrames <= DEFAULT_MAPTRACK_FRAMES
}

function orDefault(value: number, usual: number): number {
  return value < 0 ? usual : value
}

function equip(domain: Domain): number {
  const { host, state } = domain
  const status = domain.p2m.create()
  if (status < 0) return status
  state.sharedInfoMfn = host.frames.allocateXen(domain.id, 1)
  if (state.sharedInfoMfn === 0) return -ENOMEM
  for (const subsystem of host.subsystems) {
    const refusal = subsystem.domainCreated?.(domain) ?? 0
    if (refusal < 0) return refusal
  }
  host.services.time.updateWallClock(domain)
  return 0
}

/** Makes the vcpus that the domain was created for, all down: 0 or an error. */
export function createVcpus(domain: Domain): number {
  const { host } = domain
  const lockAt = HostState.offsets.domctlLock
  host.domctlLock.acquire(lockAt)
  let status = 0
  for (let id = 0; id < domain.vcpuCount && status === 0; id++) {
    if (domain.vcpu(id) === undefined) status = createVcpu(domain, id)
  }
  host.domctlLock.release(lockAt)
  return status
}

function createVcpu(domain: Domain, id: number): number {
  const { host } = domain
  const at = host.takeVcpuBlock()
  if (at === 0) return -ENOMEM
  const state = VcpuState.on(host.hypervisor.buffer, at)
  state.domainAt = domain.address
  state.domid = domain.id
  state.id = id
  state.flags = VPF_down
  // A core that was in use knows code of the kernels that it ran; one that idles is found if it is
  // busy.
  state.core = id % host.state.coreCount
  state.apicId = id * 2
  for (let i = 0; i < AFFINITY_WORDS; i++) {
    state.hardAffinity.set(i, 0xffff_ffff)
    state.softAffinity.set(i, 0xffff_ffff)
  }
  const legacy = id < XEN_LEGACY_MAX_VCPUS
  state.vcpuInfoMfn = legacy ? domain.state.sharedInfoMfn : NO_FRAME
  state.vcpuInfoOffset = legacy ? id * 64 : 0
  // APIC_BASE: enabled, and the bootstrap processor's bit for vcpu 0.
  state.lapic.apic_base_msr = 0xfee0_0800n | (id === 0 ? 0x100n : 0n)
  state.lapic.timer_divisor = 2
  domain.state.vcpus.set(id, at)
  const vcpu = domain.vcpu(id)
  assert(vcpu, 'the vcpu was just made')
  for (const subsystem of host.subsystems) {
    const refusal = subsystem.vcpuCreated?.(vcpu) ?? 0
    if (refusal < 0) return refusal
  }
  return 0
}

/** Destroys a domain: 0, or -EBUSY when another thread is at it. */
export function destroyDomain(domain: Domain): number {
  const { host, state } = domain
  const lockAt = HostState.offsets.domctlLock
  host.domctlLock.acquire(lockAt)
  const first = state.life === LIFE.alive
  if (first) state.life = LIFE.dying
  host.domctlLock.release(lockAt)
  if (!first) return -EBUSY
  domain.pause()
  host.domctlLock.acquire(lockAt)
  host.bindDomid(domain.id, 0)
  dismantle(domain)
  host.returnDomainBlock(domain.address)
  host.domctlLock.release(lockAt)
  host.services.events.sendGlobalVirq(VIRQ_DOM_EXC)
  return 0
}

/** Gives everything back, whatever there is of it. */
function dismantle(domain: Domain): void {
  const { host, state } = domain
  state.life = LIFE.dying
  for (let id = 0; id < domain.vcpuCount; id++) {
    const vcpu = domain.vcpu(id)
    if (!vcpu) continue
    for (const subsystem of host.subsystems.toReversed()) subsystem.vcpuDestroyed?.(vcpu)
  }
  for (const subsystem of host.subsystems.toReversed()) subsystem.domainDestroyed?.(domain)
  for (let id = 0; id < domain.vcpuCount; id++) {
    const at = state.vcpus.get(id)
    if (at === 0) continue
    state.vcpus.set(id, 0)
    host.returnVcpuBlock(at)
  }
  releaseVnuma(domain)
  releaseMemory(domain)
}

function releaseMemory(domain: Domain): void {
  const { host, p2m, state } = domain
  const { frames } = host
  frames.claim(state, 0)
  p2m.lock()
  p2m.empty()
  p2m.unlock()
  if (state.totPages > 0) {
    frames.disownAll(domain.id)
    state.totPages = 0
  }
  if (state.sharedInfoMfn !== 0) frames.releaseXen(state.sharedInfoMfn, 1)
  state.sharedInfoMfn = 0
  p2m.destroy()
}

/**
 * Makes the built-in control domain, domid 0: `pages` of memory in a row from gfn 0, its
 * shared_info behind them, and one vcpu, which is the control thread.
 */
export function createControlDomain(host: Host, pages: number): Domain {
  const at = host.takeDomainBlock()
  assert(at !== 0, 'no room for the control domain')
  const domain = fill(host, at, 0, {
    domid: 0, flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, ssidref: 0,
    handle: new Uint8Array(16), maxVcpus: 1, maxEvtchnPort: 0xffff_ffff, maxGrantFrames: -1,
    maxMaptrackFrames: -1, maxGrantVersion: 1, emulationFlags: 0, miscFlags: 0,
  })
  const { state } = domain
  state.privileged = 1
  state.control = 1
  state.pauseCount = 0
  state.controllerPauses = 0
  state.maxPages = pages
  state.p2mFrameLimit = 4096
  assert(equip(domain) === 0, 'no room for the control domain')
  const mfn = host.frames.allocateRow(0, pages, 1)
  assert(mfn !== 0, 'no memory for the control domain')
  domain.p2m.lock()
  domain.p2m.setRow(0, P2M_RAM_RW, mfn, pages)
  domain.p2m.set(pages, P2M_RAM_RW, state.sharedInfoMfn)
  domain.p2m.unlock()
  state.totPages = pages
  state.sharedInfoGfn = pages
  host.bindDomid(0, at)
  assert(createVcpus(domain) === 0, 'no room for the control vcpu')
  const vcpu = domain.vcpu(0)
  assert(vcpu, 'the control domain has a vcpu')
  vcpu.state.flags = 0
  return domain
}
