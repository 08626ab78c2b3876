/**
 * The disks of domains: images opened, given to back-ends, let go.
 *
 * An image is open before any node speaks of it, and closed when its last request has settled. A
 * domain that comes again waits for that, because the image is locked until then.
 */
import { type BlockDeviceHost, BlockDevice } from '../../backends/block/device.ts'
import { type Backend, BackendBus, BackendError, type DeviceNodes } from '../../backends/xenbus.ts'
import { HostFileError } from '../../base/host-file.ts'
import { type BlockStore, type ImageFormat, SECTOR_BYTES } from '../../storage/block-store.ts'
import { StorageError } from '../../storage/error.ts'
import { type ImageHost, openImage } from '../../storage/open.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import { diskNumber, type DiskFormat, type DiskSpec } from '../config/disk.ts'
import type { ToolstackHost } from './local-libxl.ts'
import { backendPath, diskKind, DISK_KINDS, askForDetach, readDisks, removeDiskNodes,
  writeDiskNodes } from './disk-nodes.ts'
import { type DiskSummary, ERROR_FAIL, ERROR_INVAL, LibxlError } from './libxl.ts'

/** How long a guest has to let a device go, as in libxl. */
const DETACH_MS = 10_000
const CLOSED = '6'

const IMAGE_FORMATS: Readonly<Partial<Record<DiskFormat, ImageFormat>>> = {
  raw: 'raw', qcow2: 'qcow2', vhd: 'vpc',
}

/** An image that is open, and what is or will be made of it. */
export interface OpenDisk {
  readonly spec: DiskSpec
  readonly devid: number
  readonly store: BlockStore
  device?: BlockDevice
}

export class Disks {
  readonly #store: XenstoreClient
  readonly #images: ImageHost
  readonly #deviceHost: BlockDeviceHost
  readonly #host: ToolstackHost
  /** By domain and number of device. */
  readonly #disks = new Map<number, Map<number, OpenDisk>>()
  readonly #closing = new Set<Promise<void>>()

  constructor(store: XenstoreClient, deviceHost: BlockDeviceHost, host: ToolstackHost) {
    this.#store = store
    this.#images = host.images
    this.#deviceHost = deviceHost
    this.#host = host
    for (const kind of DISK_KINDS) {
      new BackendBus(store, kind, (nodes) => this.#probe(nodes), host.log)
    }
  }

  /** Opens the images of a domain to be; all of them or none. */
  async open(specs: readonly DiskSpec[]): Promise<OpenDisk[]> {
    await this.closed()
    const disks: OpenDisk[] = []
    try {
      for (const spec of specs) {
        const disk = await this.#openOne(spec)
        disks.push(disk)
        if (disks.some((other) => other !== disk && other.devid === disk.devid)) {
          throw new LibxlError(ERROR_INVAL, `Disk vdev=${spec.vdev} is specified twice`)
        }
      }
      return disks
    } catch (error) {
      this.close(disks)
      throw error
    }
  }

  async #openOne(spec: DiskSpec): Promise<OpenDisk> {
    const { vdev, path } = spec
    const refuse = (why: string, cause?: unknown): never => {
      throw new LibxlError(ERROR_INVAL, `Disk vdev=${vdev} ${why}`, { cause })
    }
    const devid = diskNumber(vdev) ?? refuse('is not the name of a device')
    const format = IMAGE_FORMATS[spec.format] ?? refuse(`has format ${spec.format}: not supported`)
    if (spec.script !== undefined) refuse(`wants script ${spec.script}: not supported`)
    if (spec.backendDomain !== undefined) refuse('wants a driver domain: not supported')
    try {
      const access = spec.writable ? 'write' : 'read'
      return { spec, devid, store: await openImage(this.#images, path ?? '', { access, format }) }
    } catch (cause) {
      if (!(cause instanceof HostFileError || cause instanceof StorageError)) throw cause
      return refuse(`failed to open: ${cause.message}`, cause)
    }
  }

  /** Closes images that no domain came to have. */
  close(disks: readonly OpenDisk[]): void {
    for (const disk of disks) this.#close(disk)
  }

  /** Gives a domain its disks. */
  connect(domid: number, disks: readonly OpenDisk[]): void {
    let own = this.#disks.get(domid)
    if (!own) this.#disks.set(domid, own = new Map())
    for (const disk of disks) {
      own.set(disk.devid, disk)
      writeDiskNodes(this.#store, domid, disk.devid, disk.spec)
    }
  }

  /** The domain is going: its back-ends let go of it. */
  release(domid: number): void {
    const own = [...this.#disks.get(domid)?.values() ?? []]
    this.#disks.delete(domid)
    this.close(own)
  }

  /** Resolves when every image let go so far is closed. */
  async closed(): Promise<void> {
    await Promise.all(this.#closing)
  }

  list(domid: number): DiskSummary[] {
    return readDisks(this.#store, domid)
  }

  /** The disks that a domain has now, for its restart. */
  specs(domid: number): DiskSpec[] {
    return [...this.#disks.get(domid)?.values() ?? []].map(({ spec }) => spec)
  }

  async attach(domid: number, spec: DiskSpec, exists: () => boolean): Promise<void> {
    const taken = (devid: number): void => {
      if (!this.#disks.get(domid)?.has(devid)) return
      throw new LibxlError(ERROR_INVAL, `device already exists in xenstore: ${devid}`)
    }
    taken(diskNumber(spec.vdev) ?? -1)
    const disks = await this.open([spec])
    try {
      if (!exists()) throw new LibxlError(ERROR_FAIL, `Domain ${domid}:No such domain`)
      taken(disks[0]?.devid ?? -1)
    } catch (error) {
      this.close(disks)
      throw error
    }
    this.connect(domid, disks)
  }

  /** Has the guest let a device go; by force it is taken away from it. */
  async detach(domid: number, vdev: string, force: boolean): Promise<void> {
    const disk = this.#find(domid, vdev)
    const back = backendPath(diskKind(disk.spec), domid, disk.devid)
    if (!force) {
      askForDetach(this.#store, back)
      if (!await this.#becomesClosed(back)) {
        throw new LibxlError(ERROR_FAIL,
          `Domain ${domid}:Unable to remove vbd with id ${disk.devid}`)
      }
    }
    if (this.#disks.get(domid)?.get(disk.devid) !== disk) return
    this.#disks.get(domid)?.delete(disk.devid)
    removeDiskNodes(this.#store, domid, disk.devid)
    this.#close(disk)
    await this.closed()
  }

  /** Makes a disk larger, for a guest that goes on. */
  async resize(domid: number, vdev: string, sizeBytes: number): Promise<void> {
    const { store, device } = this.#find(domid, vdev)
    if (sizeBytes < store.sizeBytes || sizeBytes % SECTOR_BYTES !== 0) {
      throw new LibxlError(ERROR_INVAL,
        `Disk vdev=${vdev} has ${store.sizeBytes} bytes and can only become larger`)
    }
    try {
      await store.resize(sizeBytes)
    } catch (cause) {
      if (!(cause instanceof HostFileError || cause instanceof StorageError)) throw cause
      throw new LibxlError(ERROR_FAIL, `Disk vdev=${vdev}: ${cause.message}`, { cause })
    }
    device?.resized()
  }

  #find(domid: number, vdev: string): OpenDisk {
    const disk = this.#disks.get(domid)?.get(diskNumber(vdev) ?? -1)
    if (disk) return disk
    throw new LibxlError(ERROR_INVAL, `Error: Device ${vdev} not connected.`)
  }

  #probe(nodes: DeviceNodes): Backend {
    const disk = this.#disks.get(nodes.domid)?.get(nodes.devid)
    if (!disk) return nobody
    const { spec, store } = disk
    disk.device = new BlockDevice(nodes, {
      store, writable: spec.writable, isCdrom: spec.isCdrom, discard: spec.discard ?? true,
      sectorBytes: SECTOR_BYTES,
    }, this.#deviceHost)
    return disk.device
  }

  #becomesClosed(back: string): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (done: boolean): void => {
        cancel()
        // Not from within the watch's own callback.
        this.#host.schedule(() => watch.close())
        resolve(done)
      }
      const cancel = this.#host.delay(DETACH_MS, () => end(false))
      const watch = this.#store.watch(`${back}/state`, () => {
        const state = this.#store.read(`${back}/state`)
        if (state === CLOSED || state === undefined) end(true)
      })
    })
  }

  #close(disk: OpenDisk): void {
    const closing = this.#closeOne(disk).then(() => void this.#closing.delete(closing))
    this.#closing.add(closing)
  }

  async #closeOne({ device, store, spec }: OpenDisk): Promise<void> {
    device?.disconnect()
    await device?.disk.idle()
    try {
      await store.close()
    } catch (error) {
      if (!(error instanceof HostFileError || error instanceof StorageError)) throw error
      this.#host.log.error(`Disk vdev=${spec.vdev}: ${error.message}`)
    }
  }
}

/** What serves a device that was not made here. */
const nobody: Backend = {
  connect: () => { throw new BackendError('there is no such disk') },
  disconnect() {},
  remove() {},
}
