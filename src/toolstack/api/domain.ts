/**
 * A domain as a program holds it: a handle by number, which outlives neither its domain nor its
 * host.
 */
import type { AsyncStoreClient } from '../../xenstore/async-client.ts'
import { domainPath } from '../../xenstore/path.ts'
import {
  type DeviceKind, type DiskSummary, type DomainEnd, type DomainSummary, ERROR_DOMAIN_NOTFOUND,
  ERROR_FAIL, type Libxl, LibxlError, type VcpuSummary, type VifSummary,
} from '../domain/libxl.ts'
import { absoluteDisk } from '../domain/spec.ts'
import { HostGone } from '../host/client.ts'
import { GuestConsole, type Patience } from './console.ts'
import { diskOfSetting, vifOfSetting } from './settings.ts'
import type { CommandResult } from './shell.ts'

/** What domains share: the way to the machine, and what is open. */
export interface Session {
  readonly libxl: Libxl
  readonly store: AsyncStoreClient
  readonly newToken: () => string
  readonly absolutePath: (path: string) => string
  /** What is to be closed before the session is. */
  readonly open: Set<AsyncDisposable>
}

/** How a device is taken away. */
export interface DetachOptions {
  /** Without waiting for the guest to let it go. */
  readonly force?: boolean
}

export class Domain implements AsyncDisposable {
  readonly domid: number
  readonly #session: Session

  constructor(session: Session, domid: number) {
    this.#session = session
    this.domid = domid
  }

  /** What `xl list` says of it now; undefined when it is gone. */
  async summary(): Promise<DomainSummary | undefined> {
    return (await this.#libxl.list()).find((domain) => domain.domid === this.domid)
  }

  vcpus(): Promise<VcpuSummary[]> {
    return this.#libxl.vcpus(this.domid)
  }

  pause(): Promise<void> {
    return this.#libxl.pause(this.domid)
  }

  unpause(): Promise<void> {
    return this.#libxl.unpause(this.domid)
  }

  /** Asks the guest to power off; resolves once it acknowledged. `ended` waits for the end. */
  shutdown(): Promise<void> {
    return this.#libxl.shutdown(this.domid)
  }

  /** Asks the guest to reboot; resolves once it acknowledged. `successor` is what comes then. */
  reboot(): Promise<void> {
    return this.#libxl.reboot(this.domid)
  }

  destroy(): Promise<void> {
    return this.#libxl.destroy(this.domid)
  }

  rename(name: string): Promise<void> {
    return this.#libxl.rename(this.domid, name)
  }

  /** Asks the guest to have so much memory, in MiB. */
  setMemory(mib: number): Promise<void> {
    return this.#libxl.setMemoryTarget(this.domid, mib * 1024)
  }

  /** Asks the guest to have so many VCPUs online. */
  setVcpus(count: number): Promise<void> {
    return this.#libxl.setOnlineVcpus(this.domid, count)
  }

  disks(): Promise<DiskSummary[]> {
    return this.#libxl.devices(this.domid, 'disks')
  }

  /** Gives it a disk, as an item of `disk=`: '/data.qcow2,qcow2,xvdb,w'. Throws ConfigError. */
  async attachDisk(disk: string): Promise<void> {
    const spec = absoluteDisk(diskOfSetting(disk), this.#session.absolutePath)
    await this.#libxl.attachDevice(this.domid, 'disks', spec)
  }

  /** Makes a disk larger, while the guest uses it; `vdev` as 'xvdb'. */
  resizeDisk(vdev: string, bytes: number): Promise<void> {
    return this.#libxl.resizeDisk(this.domid, vdev, bytes)
  }

  /** Takes a disk away, once the guest has let it go. */
  detachDisk(vdev: string, options?: DetachOptions): Promise<void> {
    return this.#detach('disks', vdev, options)
  }

  interfaces(): Promise<VifSummary[]> {
    return this.#libxl.devices(this.domid, 'vifs')
  }

  /** Gives it a network interface, as an item of `vif=`: 'bridge=xenbr0'. Throws ConfigError. */
  async attachInterface(vif: string): Promise<void> {
    await this.#libxl.attachDevice(this.domid, 'vifs', vifOfSetting(vif))
  }

  /** Takes an interface away, by its number or its address, once the guest has let it go. */
  detachInterface(which: number | string, options?: DetachOptions): Promise<void> {
    return this.#detach('vifs', `${which}`, options)
  }

  sysrq(key: string): Promise<void> {
    return this.#libxl.sendSysrq(this.domid, key)
  }

  /** Resolves when the domain shuts down, for which reason, or is destroyed. */
  ended(): Promise<DomainEnd> {
    return this.#libxl.waitForEnd(this.domid)
  }

  /** The domain that was made again in its place after its end; undefined when there is none. */
  async successor(): Promise<Domain | undefined> {
    const domid = await this.#libxl.successor(this.domid)
    return domid === undefined ? undefined : new Domain(this.#session, domid)
  }

  /** Attaches to its console, which first gives what nobody has read so far. */
  async console(): Promise<GuestConsole> {
    const { open, libxl, newToken } = this.#session
    const console = await GuestConsole.attach(libxl, this.domid, newToken)
    open.add(console)
    console.onClose = () => open.delete(console)
    return console
  }

  /** Has the shell at the prompt of its console run one command. See GuestConsole.exec. */
  async exec(command: string, patience?: Patience): Promise<CommandResult> {
    await using console = await this.console()
    return await console.exec(command, patience)
  }

  /** Reads below its home in the store: `domain.read('control/feature-reboot')`. */
  read(path: string): Promise<string | undefined> {
    return this.#session.store.read(`${domainPath(this.domid)}/${path}`)
  }

  /** Writes below its home in the store. */
  write(path: string, value: string): Promise<void> {
    return this.#session.store.write(`${domainPath(this.domid)}/${path}`, value)
  }

  /** Destroys it if it and its host are still there. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.destroy()
    } catch (error) {
      const gone = error instanceof HostGone ||
        (error instanceof LibxlError && error.rc === ERROR_DOMAIN_NOTFOUND)
      if (!gone) throw error
    }
  }

  async #detach(
    kind: DeviceKind, name: string, { force = false }: DetachOptions = {},
  ): Promise<void> {
    if (await this.#libxl.detachDevice(this.domid, kind, name, force) === undefined) {
      throw new LibxlError(ERROR_FAIL, `Device ${name} not connected.`)
    }
  }

  get #libxl(): Libxl {
    return this.#session.libxl
  }
}
