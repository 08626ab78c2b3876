/**
 * Opening the image of a disk, or refusing it in the words of libxl and of Xen's block script.
 *
 * The script's rule is kept by the locks of files: one guest may write to an image that no other
 * has, or any number may read it.
 */
import { HostFileError } from '../../base/host-file.ts'
import { type BlockStore, type ImageFormat, SECTOR_BYTES } from '../../storage/block-store.ts'
import { emptyStore } from '../../storage/empty.ts'
import { StorageError } from '../../storage/error.ts'
import type { ImageHost } from '../../storage/open.ts'
import type { DiskFormat, DiskSpec } from '../config/disk.ts'

const IMAGE_FORMATS: Readonly<Partial<Record<DiskFormat, ImageFormat>>> = {
  raw: 'raw', qcow2: 'qcow2', vhd: 'vpc',
}

/** Where a disk fails: its settings, the making of the device, or its hotplug script. */
type DiskStage = 'settings' | 'device' | 'script'

/** Why there is no such disk. */
export class DiskError extends Error {
  override readonly name = 'DiskError'
  readonly when: DiskStage

  constructor(when: DiskStage, message: string, options?: ErrorOptions) {
    super(when === 'script' ? `script: ${message}` : message, options)
    this.when = when
  }
}

/** Whether the store shows a disk as served by Linux (vbd), and not by QEMU (qdisk). */
export function isShownAsVbd({ format, backend }: DiskSpec): boolean {
  return backend === 'phy' || backend === undefined && format === 'raw'
}

export async function openDisk(host: ImageHost, spec: DiskSpec): Promise<BlockStore> {
  const { vdev, path = '' } = spec
  refuseUnsupported(spec)
  if (spec.format === 'empty') return emptyStore
  // Loaded when there is a disk: formats of images are a fifteenth of the program.
  const { openImage } = await import('../../storage/open.ts')
  let store: BlockStore
  try {
    store = await openImage(host, path, {
      access: spec.writable ? 'write' : 'read', format: IMAGE_FORMATS[spec.format],
    })
  } catch (cause) {
    if (!(cause instanceof HostFileError || cause instanceof StorageError)) throw cause
    throw errorOf(spec, cause)
  }
  const { sizeBytes } = store
  if (sizeBytes % (spec.sectorBytes ?? SECTOR_BYTES) === 0) return store
  await store.close()
  throw new DiskError('script',
    `Disk vdev=${vdev} has ${sizeBytes} bytes, which are not sectors of ${spec.sectorBytes}`)
}

/** What nobody serves, here or in a driver domain. */
export function refuseUnsupported(spec: DiskSpec): void {
  const { vdev, format } = spec
  const refuse = (why: string): never => {
    throw new DiskError('settings', why)
  }
  if (format === 'empty' && !spec.isCdrom) refuse(`Disk vdev=${vdev} is empty but not cdrom`)
  if (format === 'qcow' || format === 'qed') {
    refuse(`Disk vdev=${vdev} has format ${format}: not supported`)
  }
  if (spec.backend === 'phy' && format !== 'raw' || spec.backend === 'standalone') {
    refuse(`no suitable backend for disk ${vdev}`)
  }
  if (spec.script !== undefined) {
    refuse(`Disk vdev=${vdev} wants script ${spec.script}: not supported`)
  }
  if (spec.specification === 'virtio') refuse(`Disk vdev=${vdev} wants virtio: not supported`)
}

function errorOf(
  { vdev, path = '', writable }: DiskSpec, cause: HostFileError | StorageError,
): DiskError {
  const script = (message: string): DiskError => new DiskError('script', message, { cause })
  if (cause instanceof HostFileError && cause.problem === 'not found') {
    const message = `Disk vdev=${vdev} failed to stat: ${cause.message}`
    return new DiskError('settings', message, { cause })
  }
  if (cause instanceof HostFileError && cause.problem === 'denied' && writable) {
    return script(
      `File ${path} is read-only, and so I will not mount it read-write in a guest domain.`)
  }
  // What this process has open, it has open for a guest.
  if (cause instanceof HostFileError && cause.message === `${path}: in use by this process`) {
    return script(writable
      ? `File ${path} is mounted in a guest domain, and so cannot be mounted now.`
      : `File ${path} is mounted read-write in a guest domain, ` +
        'and so cannot be mounted read-only now.')
  }
  return script(`Disk vdev=${vdev} failed to open: ${cause.message}`)
}
