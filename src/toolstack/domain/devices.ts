/**
 * The devices of domains that have a back-end in the control domain: made with a domain or later,
 * listed, taken away. What differs between the kinds is a DeviceClass.
 */
import type { BlockDeviceHost } from '../../backends/block/device.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import { Channels } from './channels.ts'
import { askForDetach, waitForDriver } from './device-nodes.ts'
import { Disks } from './disks.ts'
import { about } from './error-text.ts'
import {
  type DeviceKind, type DeviceKinds, type DeviceSpecs, ERROR_FAIL, LibxlError,
} from './libxl.ts'
import { readyAll, type ReadyDevices } from './ready-devices.ts'
import type { ToolstackHost } from './toolstack-host.ts'
import { Vifs } from './vifs.ts'

/** How long a guest has to let a device go, as in libxl. */
const DETACH_MS = 10_000
/** How long a driver domain has to take a device up, as in libxl. */
const INIT_MS = 10_000

/** One kind of devices. */
export interface DeviceClass<K extends DeviceKind> {
  /** Its name in messages. */
  readonly type: string
  /** A guest that does not let one go keeps it, unless it is taken by force. */
  readonly guestMayKeep: boolean
  /** Makes devices ready, all or none, for a domain to be or for the one that there is. */
  prepare(specs: readonly DeviceKinds[K]['spec'][], domid?: number): Promise<ReadyDevices>
  list(domid: number): DeviceKinds[K]['summary'][]
  /** The devices that a domain has now. */
  specs(domid: number): ReadonlyMap<number, DeviceKinds[K]['spec']>
  /** The number of the device that a command calls by `name`. */
  find(domid: number, name: string): number | undefined
  /** Path of the back-end's nodes. */
  backOf(domid: number, devid: number): string
  /** Takes a device away, whatever state it is in; resolves when nothing of it is left. */
  remove(domid: number, devid: number): Promise<void>
}

type Classes = { readonly [K in DeviceKind]: DeviceClass<K> }

const KINDS: readonly DeviceKind[] = ['disks', 'vifs', 'channels']

export class Devices {
  readonly disks: Disks
  readonly channels: Channels
  readonly #store: XenstoreClient
  readonly #host: ToolstackHost
  readonly #classes: Classes
  /** What was let go and is not closed yet. */
  readonly #closing = new Set<Promise<void>>()

  constructor(store: XenstoreClient, blockHost: BlockDeviceHost, host: ToolstackHost) {
    this.#store = store
    this.#host = host
    this.disks = new Disks(store, blockHost, host)
    this.channels = new Channels(store, blockHost, host)
    this.#classes = {
      disks: this.disks, vifs: new Vifs(store, host), channels: this.channels,
    }
  }

  /** Makes ready what a domain to be shall have; all or nothing. */
  async prepare(specs: DeviceSpecs): Promise<ReadyDevices> {
    // A domain that comes again finds its images locked until they are closed.
    await this.closed()
    const ready = await readyAll(KINDS, (kind) => this.#prepare(kind, specs))
    let to: number | undefined
    return {
      connect: (domid) => {
        to = domid
        ready.connect(domid)
      },
      connected: async () => {
        await ready.connected?.()
        for (const kind of KINDS) if (to !== undefined) await this.#takenUp(kind, to)
      },
      drop: () => this.#track(ready.drop()),
      bootDisk: ready.bootDisk,
    }
  }

  #prepare<K extends DeviceKind>(kind: K, specs: DeviceSpecs): Promise<ReadyDevices> {
    return this.#classes[kind].prepare(specs[kind] ?? [])
  }

  list<K extends DeviceKind>(kind: K, domid: number): DeviceKinds[K]['summary'][] {
    return this.#classes[kind].list(domid)
  }

  /** The devices that a domain has now. */
  specs(domid: number): DeviceSpecs {
    const { channels, disks, vifs } = this.#classes
    return {
      disks: [...disks.specs(domid).values()], vifs: [...vifs.specs(domid).values()],
      channels: [...channels.specs(domid).values()],
    }
  }

  /** Gives a domain a device more, if it still exists when that is ready. */
  async attach<K extends DeviceKind>(
    kind: K, domid: number, spec: DeviceKinds[K]['spec'], exists: () => boolean,
  ): Promise<void> {
    const ready = await this.#classes[kind].prepare([spec], domid)
    try {
      if (!exists()) throw new LibxlError(ERROR_FAIL, `${about(domid)}No such domain`)
      ready.connect(domid)
      await ready.connected?.()
      await this.#takenUp(kind, domid)
    } catch (error) {
      await this.#track(ready.drop())
      throw error
    }
  }

  /** Resolves when driver domains serve the domain's devices; one that is not served is gone. */
  async #takenUp(kind: DeviceKind, domid: number): Promise<void> {
    const devices: DeviceClass<DeviceKind> = this.#classes[kind]
    for (const devid of devices.specs(domid).keys()) {
      const back = devices.backOf(domid, devid)
      const server = /^\/local\/domain\/(\d+)\//.exec(back)?.[1]
      if (server === '0' || await waitForDriver(this.#store, this.#host, back, INIT_MS)) continue
      await this.#track(devices.remove(domid, devid))
      throw new LibxlError(ERROR_FAIL, `${about(domid)}unable to add ${devices.type} device ` +
        `${devid}: domain ${server} does not serve it`)
    }
  }

  /** Takes away the device that `name` means; answers its number, undefined when there is none. */
  async detach(
    kind: DeviceKind, domid: number, name: string, force: boolean,
  ): Promise<number | undefined> {
    const devices: DeviceClass<DeviceKind> = this.#classes[kind]
    const devid = devices.find(domid, name)
    if (devid === undefined) return undefined
    const back = devices.backOf(domid, devid)
    const isLetGo = force || await askForDetach(this.#store, this.#host, back, DETACH_MS)
    if (!isLetGo && devices.guestMayKeep) {
      throw new LibxlError(ERROR_FAIL,
        `${about(domid)}Unable to remove ${devices.type} with id ${devid}`)
    }
    // Meanwhile it may have gone with its domain.
    if (devices.specs(domid).has(devid)) await this.#track(devices.remove(domid, devid))
    return devid
  }

  /** Changes the medium of a CD-ROM drive. */
  insertMedium(domid: number, vdev: string, path: string | undefined): Promise<void> {
    return this.#track(this.disks.insert(domid, vdev, path))
  }

  /** The domain is going: its devices go at once. */
  release(domid: number): void {
    for (const kind of KINDS) {
      const devices = this.#classes[kind]
      for (const devid of [...devices.specs(domid).keys()]) {
        void this.#track(devices.remove(domid, devid))
      }
    }
  }

  /** Resolves when everything that was let go so far is closed. */
  async closed(): Promise<void> {
    await Promise.allSettled(this.#closing)
  }

  #track(work: Promise<unknown>): Promise<void> {
    const closing = work.then(() => {}).finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
    return closing
  }
}
