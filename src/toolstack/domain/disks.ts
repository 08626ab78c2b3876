/**
 * The disks of domains: images opened, given to back-ends, let go; and their nodes in the store.
 *
 * An image is open before any node speaks of it, and closed when its last request has settled. A
 * raw image or device is shown as served by Linux (backend/vbd), any other format as by QEMU
 * (backend/qdisk). There is no hotplug script to wait for.
 */
import { type BlockDeviceHost, BlockDevice } from '../../backends/block/device.ts'
import { type Backend, BackendBus, BackendError, type DeviceNodes } from '../../backends/xenbus.ts'
import { HostFileError } from '../../base/host-file.ts'
import { type BlockStore, type ImageFormat, SECTOR_BYTES } from '../../storage/block-store.ts'
import { StorageError } from '../../storage/error.ts'
import { openImage } from '../../storage/open.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import { diskNumber, type DiskFormat, type DiskSpec } from '../config/disk.ts'
import {
  type DeviceContents, type DevicePaths, deviceIds, devicePaths, numberIn, removeDevice,
  writeDevice,
} from './device-nodes.ts'
import type { DeviceClass, ReadyDevices } from './devices.ts'
import { type DiskSummary, ERROR_FAIL, ERROR_INVAL, LibxlError } from './libxl.ts'
import type { ToolstackHost } from './toolstack-host.ts'

const SCRIPT = '/etc/xen/scripts/block'

const IMAGE_FORMATS: Readonly<Partial<Record<DiskFormat, ImageFormat>>> = {
  raw: 'raw', qcow2: 'qcow2', vhd: 'vpc',
}
/** How libxl calls the formats when it speaks to QEMU. */
const QDISK_FORMATS: Readonly<Record<string, string>> = { raw: 'aio' }

/** An image that is open, and what is or will be made of it. */
interface OpenDisk {
  readonly spec: DiskSpec
  readonly devid: number
  readonly store: BlockStore
  device?: BlockDevice
}

export class Disks implements DeviceClass<'disks'> {
  readonly type = 'vbd'
  readonly guestMayKeep = true
  readonly #store: XenstoreClient
  readonly #deviceHost: BlockDeviceHost
  readonly #host: ToolstackHost
  /** By domain and number of device. */
  readonly #disks = new Map<number, Map<number, OpenDisk>>()

  constructor(store: XenstoreClient, deviceHost: BlockDeviceHost, host: ToolstackHost) {
    this.#store = store
    this.#deviceHost = deviceHost
    this.#host = host
    for (const kind of ['vbd', 'qdisk']) {
      new BackendBus(store, kind, (nodes) => this.#probe(nodes), host.log)
    }
  }

  async prepare(specs: readonly DiskSpec[], domid?: number): Promise<ReadyDevices> {
    const waiting = new Set<OpenDisk>()
    const drop = async (): Promise<void> => {
      await Promise.all([...waiting].map((disk) => this.#close(disk)))
    }
    try {
      for (const spec of specs) {
        const devid = diskNumber(spec.vdev)
        if (devid === undefined) throw refusal(spec, 'is not the name of a device')
        if (domid !== undefined) this.#refuseTaken(domid, devid)
        if ([...waiting].some((other) => other.devid === devid)) {
          throw refusal(spec, 'is specified twice')
        }
        waiting.add({ spec, devid, store: await this.#open(spec) })
      }
    } catch (error) {
      await drop()
      throw error
    }
    const connect = (to: number): void => {
      for (const disk of waiting) {
        this.#refuseTaken(to, disk.devid)
        this.#connect(to, disk)
        waiting.delete(disk)
      }
    }
    return { connect, drop }
  }

  #refuseTaken(domid: number, devid: number): void {
    if (!this.#disks.get(domid)?.has(devid)) return
    throw new LibxlError(ERROR_INVAL, `Domain ${domid}:device already exists in xenstore`)
  }

  async #open(spec: DiskSpec): Promise<BlockStore> {
    const format = IMAGE_FORMATS[spec.format]
    if (format === undefined) throw refusal(spec, `has format ${spec.format}: not supported`)
    if (spec.script !== undefined) throw refusal(spec, `wants script ${spec.script}: not supported`)
    if (spec.backendDomain !== undefined) {
      throw refusal(spec, 'wants a driver domain: not supported')
    }
    try {
      const access = spec.writable ? 'write' : 'read'
      return await openImage(this.#host.images, spec.path ?? '', { access, format })
    } catch (cause) {
      if (!(cause instanceof HostFileError || cause instanceof StorageError)) throw cause
      throw refusal(spec, `failed to open: ${cause.message}`, cause)
    }
  }

  #connect(domid: number, disk: OpenDisk): void {
    let own = this.#disks.get(domid)
    if (!own) this.#disks.set(domid, own = new Map())
    own.set(disk.devid, disk)
    writeDevice(this.#store, pathsOf(domid, disk), contentsOf(disk))
  }

  list(domid: number): DiskSummary[] {
    return deviceIds(this.#store, domid, 'vbd').map((devid) => {
      const { front, record } = devicePaths(domid, devid, 'vbd')
      const number = (name: string): number => numberIn(this.#store, `${front}/${name}`)
      return {
        devid, domid, state: number('state'), eventChannel: number('event-channel'),
        ringRef: number('ring-ref'), backend: this.#store.read(`${record}/backend`) ?? '',
      }
    })
  }

  specs(domid: number): ReadonlyMap<number, DiskSpec> {
    const own = [...this.#disks.get(domid)?.values() ?? []]
    return new Map(own.map(({ devid, spec }) => [devid, spec]))
  }

  find(domid: number, name: string): number | undefined {
    return this.#disks.get(domid)?.get(diskNumber(name) ?? -1)?.devid
  }

  backOf(domid: number, devid: number): string {
    const disk = this.#disks.get(domid)?.get(devid)
    return disk ? pathsOf(domid, disk).back : ''
  }

  async remove(domid: number, devid: number): Promise<void> {
    const own = this.#disks.get(domid)
    const disk = own?.get(devid)
    if (!own || !disk) return
    own.delete(devid)
    if (own.size === 0) this.#disks.delete(domid)
    removeDevice(this.#store, pathsOf(domid, disk))
    await this.#close(disk)
  }

  /** Makes a disk larger, for a guest that goes on. */
  async resize(domid: number, vdev: string, sizeBytes: number): Promise<void> {
    const disk = this.#disks.get(domid)?.get(diskNumber(vdev) ?? -1)
    if (!disk) throw new LibxlError(ERROR_INVAL, `Error: Device ${vdev} not connected.`)
    const { store, device, spec } = disk
    if (sizeBytes < store.sizeBytes || sizeBytes % SECTOR_BYTES !== 0) {
      throw refusal(spec, `has ${store.sizeBytes} bytes and can only become larger`)
    }
    try {
      await store.resize(sizeBytes)
    } catch (cause) {
      if (!(cause instanceof HostFileError || cause instanceof StorageError)) throw cause
      throw new LibxlError(ERROR_FAIL, `Disk vdev=${spec.vdev}: ${cause.message}`, { cause })
    }
    device?.resized()
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

  async #close({ device, store, spec }: OpenDisk): Promise<void> {
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

function refusal({ vdev }: DiskSpec, why: string, cause?: unknown): LibxlError {
  return new LibxlError(ERROR_INVAL, `Disk vdev=${vdev} ${why}`, { cause })
}

function isShownAsVbd({ format, backend }: DiskSpec): boolean {
  return backend === 'phy' || backend === undefined && format === 'raw'
}

function pathsOf(domid: number, { devid, spec }: OpenDisk): DevicePaths {
  return devicePaths(domid, devid, 'vbd', isShownAsVbd(spec) ? 'vbd' : 'qdisk')
}

function contentsOf({ spec, devid }: OpenDisk): DeviceContents {
  const isVbd = isShownAsVbd(spec)
  const { path = '' } = spec
  return {
    front: [
      ['virtual-device', `${devid}`], ['device-type', spec.isCdrom ? 'cdrom' : 'disk'],
      ['trusted', '1'],
    ],
    both: [
      ['params', isVbd ? path : `${QDISK_FORMATS[spec.format] ?? spec.format}:${path}`],
      ['script', isVbd ? SCRIPT : undefined],
      ['removable', spec.removable ? '1' : '0'],
      ['bootable', '1'],
      ['dev', spec.vdev],
      ['type', isVbd ? 'phy' : 'qdisk'],
      ['mode', spec.writable ? 'w' : 'r'],
      ['device-type', spec.isCdrom ? 'cdrom' : 'disk'],
      ['direct-io-safe', spec.directIoSafe ? '1' : undefined],
      ['discard-enable', spec.discard ?? true ? '1' : '0'],
      ['specification', 'xen'],
    ],
    back: [['hotplug-status', 'connected']],
  }
}

/** What serves a device that was not made here. */
const nobody: Backend = {
  connect: () => { throw new BackendError('there is no such disk') },
  disconnect() {},
  remove() {},
}
