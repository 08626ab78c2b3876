/**
 * Images opened by name: the format found out or given, and the chain of backing files behind it.
 *
 * A guest writes what it likes into a raw disk, the header of another format too. So a file that
 * looks like none of the formats is not taken for raw when it is to be written, unless the caller
 * says that it is; and a file said to be raw is raw, whatever it looks like.
 */
import type { ImageDecompressor } from '../base/compression/formats.ts'
import { type HostFile, HostFileError, type HostFiles } from '../base/host-file.ts'
import type { BlockStore, ImageFormat } from './block-store.ts'
import { StorageError } from './error.ts'
import { RawStore } from './raw.ts'
import { repairCounts, takeCensus } from './qcow2/census.ts'
import { looksLikeQcow2 } from './qcow2/format.ts'
import { Qcow2Image } from './qcow2/image.ts'
import { readSnapshots } from './qcow2/snapshot-table.ts'
import { Qcow2Store } from './qcow2/store.ts'
import { looksLikeVhd } from './vhd/format.ts'
import { VhdImage } from './vhd/image.ts'
import { parentNames } from './vhd/parent.ts'
import { VhdStore } from './vhd/store.ts'

/** What images need of the host. */
export interface ImageHost {
  readonly files: HostFiles
  readonly decompressor: ImageDecompressor
}

export interface OpenOptions {
  readonly access: 'read' | 'write'
  /** Found out from the file if it is not given. */
  readonly format?: ImageFormat | undefined
  /** Leaves the files behind the image alone; what they have reads as zeros. */
  readonly alone?: boolean
  /** Opens an image without putting its counts right first. */
  readonly unrepaired?: boolean
}

const MAX_CHAIN = 64

export async function openImage(
  host: ImageHost, path: string, options: OpenOptions, depth = 0,
): Promise<BlockStore> {
  if (depth > MAX_CHAIN) {
    throw new StorageError('unsupported', `${path}: more than ${MAX_CHAIN} backing files`)
  }
  const file = await host.files.open(path, options.access)
  try {
    const format = options.format ?? await probe(file)
    if (!format && options.access === 'write') {
      throw new StorageError('invalid', `${path}: its format is not known; say raw if it is raw`)
    }
    switch (format) {
      case 'qcow2': return await openQcow2(host, file, options, depth)
      case 'vpc': return await openVhd(host, file, options, depth)
      default: return new RawStore(file)
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** The format that a file begins like. A fixed VHD only ends like one, as its guest can make it. */
async function probe(file: HostFile): Promise<ImageFormat | undefined> {
  const start = new Uint8Array(512)
  await file.read(0, start)
  if (looksLikeVhd(start)) return 'vpc'
  return looksLikeQcow2(start) ? 'qcow2' : undefined
}

async function openQcow2(
  host: ImageHost, file: HostFile, options: OpenOptions, depth: number,
): Promise<Qcow2Store> {
  const image = await Qcow2Image.load(file, host.decompressor)
  if (file.writable && !options.unrepaired && (image.facts.dirty || image.facts.version === 2)) {
    const snapshots = await readSnapshots(file, image.facts)
    const census = await takeCensus(image, snapshots)
    await image.mutex.run(() => repairCounts(image, census))
  }
  const { backingFile, backingFormat } = image.facts
  if (backingFile === undefined || options.alone) return new Qcow2Store(image, undefined)
  const path = host.files.resolve(file.path, backingFile.replace(/^file:/, ''))
  const backing = await openImage(
    host, path, { access: 'read', format: formatOf(backingFormat) }, depth + 1)
  return new Qcow2Store(image, backing)
}

async function openVhd(
  host: ImageHost, file: HostFile, options: OpenOptions, depth: number,
): Promise<VhdStore> {
  const image = await VhdImage.load(file)
  if (!image.isDifferencing || options.alone) return new VhdStore(image, undefined)
  const names = await parentNames(file, image.header!)
  for (const name of names) {
    const path = host.files.resolve(file.path, name)
    const parent = await openImage(host, path, { access: 'read' }, depth + 1)
      .catch((error: unknown) => {
        if (error instanceof HostFileError && error.problem === 'not found') return undefined
        throw error
      })
    if (!parent) continue
    if (isParent(image, parent)) return new VhdStore(image, parent)
    await parent.close()
    throw new StorageError('corrupt', `${file.path}: ${path} is not the parent that it was made of`)
  }
  throw new StorageError('not found',
    `${file.path}: there is no parent at ${names.join(' or ') || 'any place that it names'}`)
}

/** By its identity; a parent that is no VHD has none. */
function isParent(image: VhdImage, parent: BlockStore): boolean {
  const wanted = image.parentId()
  const found = parent instanceof VhdStore ? parent.image.uniqueId() : new Uint8Array(16)
  return wanted.every((byte, i) => byte === found[i])
}

/** The format that an image names for its backing file. */
function formatOf(name: string | undefined): ImageFormat | undefined {
  switch (name) {
    case undefined: return undefined
    case 'raw': case 'qcow2': case 'vpc': return name
    case 'vhd': return 'vpc'
    default:
      throw new StorageError('unsupported', `a backing file of format ${name}`)
  }
}
