/**
 * libxl over the control domain's own access: domains made, listed, controlled, and seen off.
 *
 * It runs on the control thread. A domain has its name, its nodes and its console before it is
 * known what it boots: files are waited for, and whoever sits before its boot loader. Somebody may
 * destroy it meanwhile.
 */
import { asDomid, asEvtchnPort, asGfn } from '../../abi/numbers.ts'
import { type ControlDomain, type DomainInfo, XenError } from '../../dom0/interfaces.ts'
import { LocalClient } from '../../xenstore/client.ts'
import { domainPath } from '../../xenstore/path.ts'
import type { Xenstored } from '../../xenstore/xenstored.ts'
import { atConsole } from './boot-terminal.ts'
import { requestControl } from './control-request.ts'
import { dumpCore } from './core-dump.ts'
import { LocalCpuControl } from './cpu-control.ts'
import { DeathWatch } from './death-watch.ts'
import { Devices } from './devices.ts'
import { about, noUserdata } from './error-text.ts'
import { type Hotplug, localHotplug } from './hotplug.ts'
import { cpusOf, gatherCpupools, gatherInfo, gatherVcpus } from './host-info.ts'
import { planImage } from './image-plan.ts'
import {
  type AffinityChange, type ConsoleSession, type ConsoleSink, type CpupoolSummary,
  type CreateOptions, type DeviceKind, type DeviceKinds, type DomainEnd, type DomainSpec,
  type DomainSummary, ERROR_DOMAIN_NOTFOUND, ERROR_FAIL, ERROR_INVAL, type HostInfo, type Libxl,
  LibxlError, type VcpuSummary,
} from './libxl.ts'
import type { ReadyDevices } from './ready-devices.ts'
import { attach, connectStore } from './services.ts'
import { domidOf, removeDomainTree, writeHostTree } from './store-tree.ts'
import { poolName, summaryOf } from './summary.ts'
import {
  buildTenant, createTenant, enterTenant, type Tenant, type TenantServices,
} from './tenant.ts'
import type { ToolstackHost } from './toolstack-host.ts'
import { Tuning } from './tuning.ts'
import { uuidBytes } from './uuid.ts'
import { checkVnuma } from './vnuma.ts'

export class LocalLibxl implements Libxl {
  readonly store: LocalClient
  readonly #control: ControlDomain
  readonly #xenstored: Xenstored
  readonly cpus: LocalCpuControl
  readonly hotplug: Hotplug
  readonly #tuning: Tuning
  readonly #devices: Devices
  readonly #host: ToolstackHost
  readonly #tenants = new Map<number, Tenant>()
  readonly #deaths: DeathWatch
  readonly #startedMs: number
  readonly #networkCounters: (domid: number) => DomainSummary['networks']
  #creating = 0

  /** `networkCounters` says what went through a domain's interfaces. */
  constructor(
    control: ControlDomain, xenstored: Xenstored, host: ToolstackHost,
    networkCounters: (domid: number) => DomainSummary['networks'] = () => [],
  ) {
    this.#networkCounters = networkCounters
    this.#control = control
    this.#xenstored = xenstored
    this.#host = host
    this.#startedMs = host.wallClockMs()
    this.store = new LocalClient(xenstored)
    this.hotplug = localHotplug(control.xenctrl)
    this.cpus = new LocalCpuControl(this.store, control.xenctrl, host.random)
    this.#tuning = new Tuning(this.store, control.xenctrl)
    this.#devices = new Devices(this.store, {
      control, schedule: host.schedule, warn: (message) => host.log.warn(message),
    }, host)
    xenstored.introduceHook = (domid, gfn, port) => this.#introduce(domid, gfn, port)
    const own = control.xenctrl.getDomainInfo(asDomid(0))
    writeHostTree(this.store, (own?.totalPages ?? 0) * 4)
    this.#deaths = new DeathWatch(control, host, {
      tenants: () => this.#tenants.values(),
      destroy: (domid) => this.#tearDown(domid),
      restart: (tenant, made) =>
        this.create(tenant.next ?? tenant.spec, { unattended: false }, made),
      rename: (tenant, name, uuid) => this.#rename(tenant, name, uuid),
      announce: () => xenstored.announceRelease(),
    })
  }

  /** How many domains there are, or are being made, beside the control domain. */
  get domainCount(): number {
    return this.#tenants.size + this.#creating + this.#deaths.pendingRestarts
  }

  async info(): Promise<HostInfo> {
    return gatherInfo(this.#control.xenctrl)
  }

  async list(): Promise<DomainSummary[]> {
    const all: DomainInfo[] = []
    for (let first = 0; ;) {
      const some = this.#control.xenctrl.getDomainInfoList(asDomid(first), 64)
      const last = some.at(-1)
      if (!last || last.domid < first) break
      all.push(...some)
      first = last.domid + 1
    }
    const { xenctrl } = this.#control
    const { nrNodes } = xenctrl.physinfo()
    return all.map((info) => summaryOf(this.store, info, this.#startedMs,
      this.#devices.disks.counters(info.domid), this.#networkCounters(info.domid),
      cpusOf(xenctrl.getNodeAffinity(info.domid), nrNodes)))
  }

  async vcpus(domid: number): Promise<VcpuSummary[]> {
    const info = this.#known(domid, `${about(domid)}Getting infolist: No such file or directory`)
    return gatherVcpus(this.#control.xenctrl, info)
  }

  async cpupools(): Promise<CpupoolSummary[]> {
    return gatherCpupools(this.#control.xenctrl, (pool) => poolName(this.store, pool))
  }

  async create(
    spec: DomainSpec, options: CreateOptions, made: (domid: number) => void = () => {},
  ): Promise<number> {
    this.#creating++
    try {
      this.#refuseName(spec.name)
      checkVnuma(spec, this.#control.xenctrl.physinfo().nrNodes)
      const devices = await this.#devices.prepare(spec)
      try {
        return await this.#make(spec, devices, options, made)
      } catch (error) {
        await devices.drop()
        throw error
      }
    } finally {
      this.#creating--
      this.#host.largeBuffersDropped()
    }
  }

  async spec(domid: number): Promise<DomainSpec | undefined> {
    return this.#tenants.get(domid)?.spec
  }

  async destroy(domid: number): Promise<void> {
    this.#known(domid, ['Non-existant domain', 'Unable to destroy guest',
      'Destruction of domain failed'].map((what) => `${about(domid)}${what}`).join('\n'))
    if (domid === 0) throw new LibxlError(ERROR_INVAL, 'Cannot destroy the control domain')
    this.#tearDown(domid)
    await this.#devices.closed()
  }

  async pause(domid: number): Promise<void> {
    if (domid === 0) throw new LibxlError(ERROR_FAIL, 'Pausing domain: Invalid argument')
    this.#known(domid, `${about(domid)}Pausing domain: No such process`)
    this.#control.xenctrl.pauseDomain(asDomid(domid))
  }

  async unpause(domid: number): Promise<void> {
    if (domid === 0) throw new LibxlError(ERROR_FAIL, 'Unpausing domain: Invalid argument')
    this.#known(domid, `unable to get domain type for domid=${domid}`)
    if (this.#tenants.get(domid)?.isWhole === false) {
      throw new LibxlError(ERROR_FAIL, `${about(domid)}it is still being made`)
    }
    this.#control.xenctrl.unpauseDomain(asDomid(domid))
  }

  shutdown(domid: number): Promise<void> {
    return this.#request(domid, 'poweroff')
  }

  reboot(domid: number): Promise<void> {
    return this.#request(domid, 'reboot')
  }

  async rename(domid: number, name: string): Promise<void> {
    this.#known(domid)
    this.#refuseName(name, domid)
    const tenant = this.#tenants.get(domid)
    if (tenant) this.#rename(tenant, name)
    else this.store.write(`${domainPath(domid)}/name`, name)
  }

  async setRestartSpec(domid: number, spec: DomainSpec): Promise<void> {
    this.#known(domid)
    const tenant = this.#tenants.get(domid)
    if (tenant) tenant.next = spec
  }

  async setMemoryTarget(domid: number, kib: number): Promise<void> {
    this.#known(domid, noUserdata(domid))
    this.#tuning.setMemoryTarget(domid, kib)
  }

  async setMaxMemory(domid: number, kib: number): Promise<void> {
    this.#known(domid, noUserdata(domid))
    this.#tuning.setMaxMemory(domid, kib)
  }

  async setOnlineVcpus(domid: number, count: number): Promise<void> {
    this.#known(domid, `${about(domid)}Getting domain info list: No such file or directory`)
    this.#tuning.setOnlineVcpus(domid, count)
  }

  async devices<K extends DeviceKind>(
    domid: number, kind: K,
  ): Promise<DeviceKinds[K]['summary'][]> {
    this.#known(domid)
    return this.#devices.list(kind, domid)
  }

  async attachDevice<K extends DeviceKind>(
    domid: number, kind: K, spec: DeviceKinds[K]['spec'],
  ): Promise<void> {
    this.#known(domid, `unable to get domain type for domid=${domid}\nunable to add device`)
    await this.#devices.attach(kind, domid, spec, () => this.#tenants.has(domid))
    this.#keepDevices(domid)
  }

  async detachDevice(
    domid: number, kind: DeviceKind, name: string, force: boolean,
  ): Promise<number | undefined> {
    this.#known(domid)
    const devid = await this.#devices.detach(kind, domid, name, force)
    this.#keepDevices(domid)
    return devid
  }

  async resizeDisk(domid: number, vdev: string, sizeBytes: number): Promise<void> {
    this.#known(domid)
    await this.#devices.disks.resize(domid, vdev, sizeBytes)
  }

  async insertMedium(domid: number, vdev: string, path: string | undefined): Promise<void> {
    this.#known(domid, `unable to get domain type for domid=${domid}`)
    await this.#devices.insertMedium(domid, vdev, path)
    this.#keepDevices(domid)
  }

  /** The domain comes again with the devices that it has now. */
  #keepDevices(domid: number): void {
    const tenant = this.#tenants.get(domid)
    if (tenant) tenant.spec = { ...tenant.spec, ...this.#devices.specs(domid) }
  }

  dumpCore(domid: number, path: string): Promise<void> {
    return dumpCore(this.#control, this.#host.images.files, asDomid(domid), path)
  }

  async sendSysrq(domid: number, key: string): Promise<void> {
    this.#known(domid)
    this.#tuning.sendSysrq(domid, key)
  }

  async sendTrigger(domid: number, trigger: string, vcpu: number): Promise<void> {
    this.#known(domid, `${about(domid)}Send trigger '${trigger}' failed: No such process`)
    this.#tuning.sendTrigger(domid, trigger, vcpu)
  }

  async setVcpuAffinity(domid: number, vcpu: number, change: AffinityChange): Promise<void> {
    this.#known(domid)
    this.#tuning.setVcpuAffinity(domid, vcpu, change)
  }

  async waitForEnd(domid: number): Promise<DomainEnd> {
    const info = this.#known(domid)
    if (info.shutdown) return { how: 'shutdown', reason: info.shutdownReason }
    return this.#deaths.next(domid)
  }

  async successor(domid: number): Promise<number | undefined> {
    return this.#deaths.successor(domid)
  }

  async readLog(clear: boolean): Promise<string> {
    return new TextDecoder().decode(this.#control.xenctrl.readConsole(clear))
  }

  async sendDebugKeys(keys: string): Promise<void> {
    this.#control.xenctrl.sendDebugKeys(keys)
  }

  async attachConsole(domid: number, sink: ConsoleSink, number = 0): Promise<ConsoleSession> {
    const tenant = this.#tenants.get(domid)
    if (!tenant) throw new LibxlError(ERROR_FAIL, `unable to get domain type for domid=${domid}`)
    const console = number === 0 ? tenant.console : this.#devices.channels.at(domid, number)
    if (!console) throw new LibxlError(ERROR_FAIL, `${about(domid)}no console ${number}`)
    return attach(console, sink)
  }

  /** Ends every domain at once; for the host's own end. */
  async destroyAll(): Promise<void> {
    this.#deaths.close()
    for (const domid of [...this.#tenants.keys()]) this.#tearDown(domid)
    await this.#devices.closed()
  }

  #known(domid: number, otherwise = `${about(domid)}No such domain`): DomainInfo {
    const info = this.#control.xenctrl.getDomainInfo(asDomid(domid))
    if (!info) throw new LibxlError(ERROR_DOMAIN_NOTFOUND, otherwise)
    return info
  }

  /** `owner` may have the name. */
  #refuseName(name: string, owner?: number): void {
    const taken = domidOf(this.store, name)
    if (taken === undefined || taken === owner) return
    const who = owner === undefined ? '' : about(owner)
    throw new LibxlError(ERROR_INVAL, `${who}Domain with name "${name}" already exists.`)
  }

  async #make(
    spec: DomainSpec, devices: ReadyDevices, options: CreateOptions,
    made: (domid: number) => void,
  ): Promise<number> {
    this.#refuseName(spec.name)
    const services = this.#services
    const tenant = createTenant(services, spec, options, this.cpus.poolNamed(spec.pool))
    const { domid, console } = tenant
    this.#tenants.set(domid, tenant)
    try {
      enterTenant(services, tenant)
      made(domid)
      const image = await atConsole(console, domid, this.#host, (terminal) =>
        planImage(spec, this.#host, devices.bootDisk, terminal))
      this.#mustBeThere(tenant)
      buildTenant(services, tenant, image)
      devices.connect(domid)
      this.#keepDevices(domid)
      await devices.connected?.()
      this.#mustBeThere(tenant)
    } catch (error) {
      if (this.#tenants.get(domid) === tenant) this.#tearDown(domid)
      throw error
    }
    tenant.isWhole = true
    if (!options.paused) this.#control.xenctrl.unpauseDomain(domid)
    return domid
  }

  get #services(): TenantServices {
    return {
      control: this.#control, xenstored: this.#xenstored, store: this.store, host: this.#host,
    }
  }

  /** While others were waited for, somebody may have destroyed it. */
  #mustBeThere(tenant: Tenant): void {
    const { domid } = tenant
    if (this.#tenants.get(domid) === tenant) return
    throw new LibxlError(ERROR_DOMAIN_NOTFOUND, `${about(domid)}No such domain`)
  }

  /** Connects a domain to the store at somebody's request; whether that was possible. */
  #introduce(domid: number, gfn: number, port: number): boolean {
    try {
      connectStore(this.#control, this.#xenstored, this.#host.schedule,
        asDomid(domid), asGfn(gfn), asEvtchnPort(port))
      return true
    } catch (error) {
      if (error instanceof XenError) return false
      throw error
    }
  }

  #tearDown(domid: number): void {
    const tenant = this.#tenants.get(domid)
    // What the guest printed last is in its ring until the console lets go of the page.
    tenant?.console.close()
    this.#tenants.delete(domid)
    this.#devices.release(domid)
    this.#xenstored.bury(domid)
    if (this.#control.xenctrl.getDomainInfo(asDomid(domid))) {
      this.#control.xenctrl.destroyDomain(asDomid(domid))
    }
    removeDomainTree(this.store, domid)
    this.#deaths.gone(domid)
  }

  #rename(tenant: Tenant, name: string, uuid?: string): void {
    const { domid } = tenant
    this.store.write(`${domainPath(domid)}/name`, name)
    const vm = this.store.read(`${domainPath(domid)}/vm`)
    if (vm !== undefined) this.store.write(`${vm}/name`, name)
    tenant.spec = { ...tenant.spec, name }
    const handle = uuid === undefined ? undefined : uuidBytes(uuid)
    if (handle) this.#control.xenctrl.setDomainHandle(domid, handle)
  }

  async #request(domid: number, what: string): Promise<void> {
    if (!this.#control.xenctrl.getDomainInfo(asDomid(domid))) {
      throw new LibxlError(ERROR_FAIL, `unable to get domain type for domid=${domid}`)
    }
    if (domid === 0) throw new LibxlError(ERROR_FAIL, 'Domain 0:there is no kernel in it to ask')
    return requestControl(this.store, this.#host, domid, what)
  }
}
