/**
 * The disks of domains: images opened, given to back-ends, changed, let go; and their nodes in the
 * store.
 *
 * An image is open before any node speaks of it, and closed when its last request has settled. A
 * raw image or device is shown as served by Linux (backend/vbd), any other format as by QEMU
 * (backend/qdisk). There is no hotplug script to wait for. What a driver domain serves is not
 * opened here at all.
 */
import { type BlockDeviceHost, BlockDevice } from '../../backends/block/device.ts'
import { type Backend, BackendBus, BackendError, type DeviceNodes } from '../../backends/xenbus.ts'
import { HostFileError } from '../../base/host-file.ts'
import { type BlockStore, SECTOR_BYTES } from '../../storage/block-store.ts'
import { emptyStore } from '../../storage/empty.ts'
import { StorageError } from '../../storage/error.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import { diskNumber, type DiskSpec } from '../config/disk.ts'
import {
  backDomidOf, type DeviceContents, type DevicePaths, deviceIds, devicePaths, numberIn,
  removeDevice, writeDevice,
} from './device-nodes.ts'
import type { DeviceClass } from './devices.ts'
import { DiskError, isShownAsVbd, openDisk, refuseUnsupported } from './disk-open.ts'
import { about } from './error-text.ts'
import {
  type DiskCounters, type DiskSummary, ERROR_FAIL, ERROR_INVAL, LibxlError,
} from './libxl.ts'
import { readyAll, type ReadyDevices } from './ready-devices.ts'
import type { ToolstackHost } from './toolstack-host.ts'

const SCRIPT = '/etc/xen/scripts/block'
/** How libxl calls the formats when it speaks to QEMU. */
const QDISK_FORMATS: Readonly<Record<string, string>> = { raw: 'aio' }

/** An image that is open, and what is or will be made of it. */
interface OpenDisk {
  readonly devid: number
  /** Who serves it; the store of another domain's is empty. */
  readonly backDomid: number
  /** Shown as vbd, or else as qdisk. */
  readonly isVbd: boolean
  spec: DiskSpec
  store: BlockStore
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

  prepare(specs: readonly DiskSpec[], domid?: number): Promise<ReadyDevices> {
    const numbers = new Set<number>()
    return readyAll(specs, async (spec) => {
      try {
        const disk = await this.#open(this.#newNumber(spec, numbers, domid), spec)
        return {
          connect: (to) => this.#connect(to, disk), drop: () => this.#close(disk),
          bootDisk: disk.store,
        }
      } catch (error) {
        if (!(error instanceof DiskError)) throw error
        throw failureOf(error, domid, diskNumber(spec.vdev))
      }
    })
  }

  /** A disk's number, which is put to those of the same domain. */
  #newNumber({ vdev }: DiskSpec, numbers: Set<number>, domid: number | undefined): number {
    const devid = diskNumber(vdev)
    if (devid === undefined) {
      throw new DiskError('device', `Invalid or unsupported virtual disk identifier ${vdev}`)
    }
    if (domid !== undefined) this.#refuseTaken(domid, devid)
    if (numbers.has(devid)) throw new DiskError('device', 'device already exists in xenstore')
    numbers.add(devid)
    return devid
  }

  async #open(devid: number, spec: DiskSpec): Promise<OpenDisk> {
    const backDomid = backDomidOf(this.#store, spec.backendDomain)
    if (backDomid === undefined) {
      throw new DiskError('settings', `Disk vdev=${spec.vdev}: no backend domain ` +
        `"${spec.backendDomain}"`)
    }
    const isVbd = isShownAsVbd(spec)
    if (backDomid === 0) {
      return { devid, backDomid, isVbd, spec, store: await openDisk(this.#host.images, spec) }
    }
    refuseUnsupported(spec)
    if (isVbd) return { devid, backDomid, isVbd, spec, store: emptyStore }
    throw new DiskError('settings', `Disk vdev=${spec.vdev}: a driver domain has raw disks only`)
  }

  #refuseTaken(domid: number, devid: number): void {
    if (!this.#disks.get(domid)?.has(devid)) return
    throw failureOf(new DiskError('device', 'device already exists in xenstore'), domid, devid)
  }

  #connect(domid: number, disk: OpenDisk): void {
    this.#refuseTaken(domid, disk.devid)
    let own = this.#disks.get(domid)
    if (!own) this.#disks.set(domid, own = new Map())
    own.set(disk.devid, disk)
    writeDevice(this.#store, pathsOf(domid, disk), contentsOf(disk))
  }

  list(domid: number): DiskSummary[] {
    const own = this.#disks.get(domid)
    return deviceIds(this.#store, domid, 'vbd').map((devid) => {
      const { front, record } = devicePaths(domid, devid, 'vbd')
      const number = (name: string): number => numberIn(this.#store, `${front}/${name}`)
      return {
        devid, backendId: own?.get(devid)?.backDomid ?? 0, domid, state: number('state'),
        eventChannel: number('event-channel'), ringRef: number('ring-ref'),
        backend: this.#store.read(`${record}/backend`) ?? '',
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
    disk.device?.disconnect()
    await this.#close(disk)
  }

  /** What a domain has asked of its disks. */
  counters(domid: number): DiskCounters[] {
    const own = [...this.#disks.get(domid)?.values() ?? []]
    return own.flatMap(({ devid, device }) =>
      device ? [{ device: devid, ...device.disk.counts }] : [])
  }

  /** Makes a disk larger, for a guest that goes on. */
  async resize(domid: number, vdev: string, sizeBytes: number): Promise<void> {
    const disk = this.#disks.get(domid)?.get(diskNumber(vdev) ?? -1)
    if (!disk) throw new LibxlError(ERROR_INVAL, `Error: Device ${vdev} not connected.`)
    const { store, device, backDomid, spec: { sectorBytes = SECTOR_BYTES } } = disk
    if (backDomid !== 0) {
      throw new LibxlError(ERROR_INVAL, `Disk vdev=${vdev} is served by domain ${backDomid}`)
    }
    if (sizeBytes < store.sizeBytes || sizeBytes % sectorBytes !== 0) {
      throw new LibxlError(ERROR_INVAL, `Disk vdev=${vdev} has ${store.sizeBytes} bytes and can ` +
        `only become larger, in sectors of ${sectorBytes}`)
    }
    try {
      await store.resize(sizeBytes)
    } catch (cause) {
      if (!(cause instanceof HostFileError || cause instanceof StorageError)) throw cause
      throw new LibxlError(ERROR_FAIL, `Disk vdev=${vdev}: ${cause.message}`, { cause })
    }
    device?.resized()
  }

  /**
   * Puts a medium into a CD-ROM drive, in place of what is in it; without a path, none. The guest
   * sees an empty drive in between.
   */
  async insert(domid: number, vdev: string, path: string | undefined): Promise<void> {
    const disk = this.#disks.get(domid)?.get(diskNumber(vdev) ?? -1)
    if (!disk?.spec.isCdrom || disk.backDomid !== 0) {
      throw new LibxlError(ERROR_FAIL, `${about(domid)}Virtual device not found`)
    }
    const { path: _, ...drive } = disk.spec
    const next: DiskSpec = path === undefined
      ? { ...drive, format: 'empty' } : { ...drive, path, format: 'raw' }
    let medium = emptyStore
    try {
      // The same medium may come again.
      await this.#change(domid, disk, { ...drive, format: 'empty' }, emptyStore)
      medium = await openDisk(this.#host.images, next)
    } catch (error) {
      throw error instanceof DiskError ? failureOf(error, domid, undefined) : error
    }
    if (this.#disks.get(domid)?.get(disk.devid) === disk && disk.store === emptyStore) {
      await this.#change(domid, disk, next, medium)
    } else {
      await medium.close()
      throw new LibxlError(ERROR_FAIL, `${about(domid)}Disk vdev=${vdev} has changed meanwhile`)
    }
  }

  async #change(
    domid: number, disk: OpenDisk, spec: DiskSpec, store: BlockStore,
  ): Promise<void> {
    const { store: old, device } = disk
    disk.spec = spec
    disk.store = store
    const { back, record } = pathsOf(domid, disk)
    this.#store.transaction((tree) => {
      for (const path of [back, record]) tree.write(`${path}/params`, paramsOf(disk))
    })
    if (device) device.disk.store = store
    device?.resized()
    await this.#close({ ...disk, store: old })
  }

  #probe(nodes: DeviceNodes): Backend {
    const disk = this.#disks.get(nodes.domid)?.get(nodes.devid)
    if (!disk) return nobody
    const { spec, store } = disk
    disk.device = new BlockDevice(nodes, {
      store, writable: spec.writable, isCdrom: spec.isCdrom, discard: discards(spec),
      sectorBytes: spec.sectorBytes ?? SECTOR_BYTES,
    }, this.#deviceHost)
    return disk.device
  }

  /** Closes the image of a disk whose device has let it go. */
  async #close({ device, store, spec }: OpenDisk): Promise<void> {
    await device?.disk.idle()
    try {
      await store.close()
    } catch (error) {
      if (!(error instanceof HostFileError || error instanceof StorageError)) throw error
      this.#host.log.error(`Disk vdev=${spec.vdev}: ${error.message}`)
    }
  }
}

/** What libxl says when a disk cannot be had: for a domain that there is, or for one to be. */
function failureOf(
  error: DiskError, domid: number | undefined, devid: number | undefined,
): LibxlError {
  const where = domid === undefined || error.when !== 'device' ? '' : about(domid)
  let then = 'unable to add disk devices'
  if (domid !== undefined) {
    then = error.when === 'script' && devid !== undefined
      ? `${about(domid)}Unable to add vbd with id ${devid}` : 'unable to add device'
  }
  return new LibxlError(ERROR_INVAL, `${where}${error.message}\n${then}`, { cause: error })
}

/** A disk that cannot be written to has nothing to discard. */
function discards({ discard, writable }: DiskSpec): boolean {
  return discard ?? writable
}

function pathsOf(domid: number, { devid, isVbd, backDomid }: OpenDisk): DevicePaths {
  return devicePaths(domid, devid, 'vbd', isVbd ? 'vbd' : 'qdisk', backDomid)
}

function paramsOf({ spec: { path = '', format }, isVbd }: OpenDisk): string {
  if (format === 'empty') return ''
  return isVbd ? path : `${QDISK_FORMATS[format] ?? format}:${path}`
}

function contentsOf(disk: OpenDisk): DeviceContents {
  const { spec, devid, isVbd, backDomid } = disk
  return {
    front: [
      ['virtual-device', `${devid}`], ['device-type', spec.isCdrom ? 'cdrom' : 'disk'],
      ['trusted', '1'],
    ],
    both: [
      ['params', paramsOf(disk)],
      ['script', isVbd ? SCRIPT : undefined],
      ['removable', spec.removable ? '1' : '0'],
      ['bootable', '1'],
      ['dev', spec.vdev],
      ['type', isVbd ? 'phy' : 'qdisk'],
      ['mode', spec.writable ? 'w' : 'r'],
      ['device-type', spec.isCdrom ? 'cdrom' : 'disk'],
      ['direct-io-safe', spec.directIoSafe ? '1' : undefined],
      ['discard-enable', discards(spec) ? '1' : '0'],
      ['specification', 'xen'],
    ],
    back: [['hotplug-status', backDomid === 0 ? 'connected' : undefined]],
  }
}

/** What serves a device that was not made here. */
const nobody: Backend = {
  connect: () => { throw new BackendError('there is no such disk') },
  disconnect() {},
  remove() {},
}
