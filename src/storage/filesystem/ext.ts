/**
 * ext2, ext3 and ext4, for reading.
 *
 * The text is the kernel's Documentation/filesystems/ext4. Blocks come from extents or indirect
 * blocks, or from the inode itself (inline data); hashed directories are read as the lists that
 * they are too. Checksums are not verified, and a journal that waits to be replayed is not: files
 * are as they were at the last checkpoint. Refused: compression, journal devices, encrypted files.
 */
import { StorageError } from '../error.ts'
import { type DirectoryEntry, type FileKind, type FileStat, type FileSystem, type FileTree, mount }
  from './file-system.ts'
import { InlineData } from './ext-inline.ts'
import { BlockMap } from './ext-map.ts'
import { viewOf, type Volume } from './volume.ts'

const SUPERBLOCK_AT = 1024
const SUPERBLOCK_BYTES = 1024
const MAGIC = 0xef53
const ROOT_INODE = 2

const COMPAT_SPARSE_SUPER2 = 0x200
const INCOMPAT_FILETYPE = 0x2
const INCOMPAT_META_BG = 0x10
const INCOMPAT_64BIT = 0x80
/** Compression, and a journal's own device. */
const INCOMPAT_REFUSED: readonly (readonly [number, string])[] = [
  [0x1, 'compression'], [0x8, 'a journal device'],
]
const INCOMPAT_KNOWN = 0x3f7d6
/** What ext3 knows; more makes an ext4. */
const INCOMPAT_EXT3 = 0x16
const RO_COMPAT_EXT3 = 0x7
const RO_COMPAT_SPARSE_SUPER = 0x1

const FLAG_ENCRYPTED = 0x800
const FLAG_EXTENTS = 0x80000
const FLAG_INLINE_DATA = 0x1000_0000

const MODE_TYPE = 0xf000
const KINDS: Readonly<Record<number, FileKind>> = {
  0x4000: 'directory', 0x8000: 'file', 0xa000: 'symlink',
}

interface Inode {
  readonly mode: number
  readonly sizeBytes: number
  readonly modifiedSec: number
  readonly flags: number
  /** The whole inode as it is on disk. */
  readonly bytes: Uint8Array
}

const corrupt = (message: string): StorageError => new StorageError('corrupt', `ext: ${message}`)

interface Superblock {
  readonly inodes: number
  readonly blocks: number
  readonly blockBytes: number
  readonly firstDataBlock: number
  readonly blocksPerGroup: number
  readonly inodesPerGroup: number
  readonly inodeBytes: number
  readonly descriptorBytes: number
  readonly compat: number
  readonly incompat: number
  readonly roCompat: number
  readonly firstMetaGroup: number
  readonly backupGroups: readonly number[]
}

/** The file system on a volume, if it is one of these. */
export async function openExt(volume: Volume): Promise<FileSystem | undefined> {
  if (volume.sizeBytes < SUPERBLOCK_AT + SUPERBLOCK_BYTES) return undefined
  const bytes = await volume.read(SUPERBLOCK_AT, SUPERBLOCK_BYTES)
  const view = viewOf(bytes)
  if (view.getUint16(56, true) !== MAGIC) return undefined
  const superblock = readSuperblock(view)
  const name = bytes.subarray(120, 136)
  const hasJournal = (superblock.compat & 0x4) !== 0
  const isExt4 = (superblock.incompat & ~INCOMPAT_EXT3) !== 0 ||
    (superblock.roCompat & ~RO_COMPAT_EXT3) !== 0
  return mount({
    type: isExt4 ? 'ext4' : hasJournal ? 'ext3' : 'ext2',
    label: new TextDecoder().decode(name).replace(/\0.*$/s, ''),
    uuid: uuidText(bytes.subarray(104, 120)),
  }, new ExtTree(volume, superblock))
}

function uuidText(bytes: Uint8Array): string {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

function readSuperblock(view: DataView): Superblock {
  const u32 = (at: number): number => view.getUint32(at, true)
  const incompat = u32(96)
  const refused = INCOMPAT_REFUSED.find(([bit]) => incompat & bit)
  if (refused) throw new StorageError('unsupported', `ext: ${refused[1]}`)
  const unknown = incompat & ~INCOMPAT_KNOWN
  if (unknown) {
    throw new StorageError('unsupported', `ext: unknown features 0x${(unknown >>> 0).toString(16)}`)
  }
  const wide = (incompat & INCOMPAT_64BIT) !== 0
  const isOld = u32(76) === 0
  const shift = u32(24)
  if (shift > 6) throw corrupt(`blocks of 2^${10 + shift} bytes`)
  const superblock: Superblock = {
    inodes: u32(0), blocks: u32(4) + (wide ? u32(0x150) * 2 ** 32 : 0), blockBytes: 1024 << shift,
    firstDataBlock: u32(20), blocksPerGroup: u32(32), inodesPerGroup: u32(40),
    inodeBytes: isOld ? 128 : view.getUint16(88, true),
    descriptorBytes: wide ? view.getUint16(254, true) : 32,
    compat: u32(92), incompat, roCompat: u32(100), firstMetaGroup: u32(260),
    backupGroups: [u32(0x24c), u32(0x250)],
  }
  const { inodeBytes, descriptorBytes, blockBytes } = superblock
  if (superblock.blocksPerGroup === 0 || superblock.inodesPerGroup === 0) throw corrupt('groups')
  if (inodeBytes < 128 || inodeBytes > blockBytes) throw corrupt(`inodes of ${inodeBytes} bytes`)
  if (descriptorBytes < 32 || descriptorBytes > blockBytes) throw corrupt('group descriptors')
  return superblock
}

function isPowerOf(n: number, base: number): boolean {
  while (n > 1 && n % base === 0) n /= base
  return n === 1
}

/** Nodes are inode numbers. */
class ExtTree implements FileTree<number> {
  readonly ignoresCase = false
  readonly root = ROOT_INODE
  readonly #volume: Volume
  readonly #superblock: Superblock
  readonly #map: BlockMap

  constructor(volume: Volume, superblock: Superblock) {
    this.#volume = volume
    this.#superblock = superblock
    this.#map = new BlockMap(volume, superblock.blockBytes)
  }

  async stat(number: number): Promise<FileStat> {
    const inode = await this.#inode(number)
    return {
      kind: KINDS[inode.mode & MODE_TYPE] ?? 'other', sizeBytes: inode.sizeBytes,
      mode: inode.mode & 0o7777, modifiedSec: inode.modifiedSec,
    }
  }

  async *list(number: number): AsyncGenerator<DirectoryEntry<number>> {
    const directory = await this.#inode(number)
    if (directory.flags & FLAG_INLINE_DATA) {
      const inline = new InlineData(directory.bytes)
      // The first four bytes are the parent's inode number.
      yield* this.#entries(inline.inBlocks.subarray(4))
      yield* this.#entries(inline.inAttribute)
      return
    }
    const { blockBytes } = this.#superblock
    for (let at = 0; at < directory.sizeBytes; at += blockBytes) {
      yield* this.#entries(await this.#content(directory, at, blockBytes))
    }
  }

  /** The entries in a block of a directory. */
  *#entries(block: Uint8Array): Generator<DirectoryEntry<number>> {
    const view = viewOf(block)
    const hasKind = (this.#superblock.incompat & INCOMPAT_FILETYPE) !== 0
    for (let at = 0; at + 8 <= block.length;) {
      const number = view.getUint32(at, true)
      const length = recordLength(view.getUint16(at + 4, true), block.length)
      const nameLength = hasKind ? view.getUint8(at + 6) : view.getUint16(at + 6, true)
      if (length < 8 || length > block.length - at) throw corrupt('an entry of a directory')
      if (number !== 0) {
        if (nameLength > length - 8) throw corrupt('a name in a directory')
        const name = new TextDecoder().decode(block.subarray(at + 8, at + 8 + nameLength))
        if (name !== '.' && name !== '..') yield { name, node: number }
      }
      at += length
    }
  }

  async read(number: number, at: number, lengthBytes: number): Promise<Uint8Array> {
    return this.#content(await this.#inode(number), at, lengthBytes)
  }

  async #content(inode: Inode, at: number, lengthBytes: number): Promise<Uint8Array> {
    if (inode.flags & FLAG_ENCRYPTED) throw new StorageError('unsupported', 'ext: encrypted files')
    if (inode.flags & FLAG_INLINE_DATA) {
      return new InlineData(inode.bytes).content(inode.sizeBytes).subarray(at, at + lengthBytes)
    }
    const { blockBytes } = this.#superblock
    const bytes = new Uint8Array(lengthBytes)
    const useExtents = (inode.flags & FLAG_EXTENTS) !== 0
    for (let done = 0; done < lengthBytes;) {
      const within = (at + done) % blockBytes
      const wanted = Math.ceil((within + lengthBytes - done) / blockBytes)
      const block = Math.floor((at + done) / blockBytes)
      const roots = inode.bytes.subarray(40, 100)
      const run = useExtents ? await this.#map.extentRun(roots, block, wanted)
        : await this.#map.indirectRun(roots, block, wanted)
      const length = Math.min(run.count * blockBytes - within, lengthBytes - done)
      if (run.physical !== 0) {
        bytes.set(await this.#volume.read(run.physical * blockBytes + within, length), done)
      }
      done += length
    }
    return bytes
  }

  async readLink(number: number): Promise<string> {
    const inode = await this.#inode(number)
    // A short target is in the inode, where blocks would be.
    const isFast = inode.sizeBytes < 60 && !(inode.flags & (FLAG_EXTENTS | FLAG_INLINE_DATA))
    const bytes = isFast ? inode.bytes.subarray(40, 40 + inode.sizeBytes)
      : await this.#content(inode, 0, inode.sizeBytes)
    return new TextDecoder().decode(bytes)
  }

  async #inode(number: number): Promise<Inode> {
    const { inodes, inodesPerGroup, inodeBytes, blockBytes } = this.#superblock
    if (number < 1 || number > inodes) throw corrupt(`there is no inode ${number}`)
    const group = Math.floor((number - 1) / inodesPerGroup)
    const table = await this.#inodeTable(group)
    const at = table * blockBytes + (number - 1) % inodesPerGroup * inodeBytes
    const bytes = await this.#volume.read(at, inodeBytes)
    const view = viewOf(bytes)
    const mode = view.getUint16(0, true)
    const isFile = (mode & MODE_TYPE) === 0x8000
    return {
      mode, modifiedSec: view.getUint32(16, true), flags: view.getUint32(32, true), bytes,
      sizeBytes: view.getUint32(4, true) + (isFile ? view.getUint32(108, true) * 2 ** 32 : 0),
    }
  }

  /** The block at which the inodes of a group begin. */
  async #inodeTable(group: number): Promise<number> {
    const { descriptorBytes, blockBytes, firstDataBlock } = this.#superblock
    const perBlock = Math.floor(blockBytes / descriptorBytes)
    const chunk = Math.floor(group / perBlock)
    const isMeta = (this.#superblock.incompat & INCOMPAT_META_BG) !== 0 &&
      chunk >= this.#superblock.firstMetaGroup
    const first = chunk * perBlock
    const block = isMeta
      ? firstDataBlock + first * this.#superblock.blocksPerGroup + (this.#hasSuper(first) ? 1 : 0)
      : firstDataBlock + 1 + chunk
    const at = block * blockBytes + group % perBlock * descriptorBytes
    const view = viewOf(await this.#volume.read(at, descriptorBytes))
    const high = descriptorBytes >= 64 ? view.getUint32(40, true) * 2 ** 32 : 0
    return view.getUint32(8, true) + high
  }

  /** Whether a group begins with a copy of the superblock. */
  #hasSuper(group: number): boolean {
    if (group === 0) return true
    if (this.#superblock.compat & COMPAT_SPARSE_SUPER2) {
      return this.#superblock.backupGroups.includes(group)
    }
    if (!(this.#superblock.roCompat & RO_COMPAT_SPARSE_SUPER)) return true
    return group === 1 || [3, 5, 7].some((base) => isPowerOf(group, base))
  }
}

/** A record's length; blocks of 64 KiB need a code for their own. */
function recordLength(coded: number, blockBytes: number): number {
  if (blockBytes < 65536) return coded
  return coded === 65535 || coded === 0 ? blockBytes : coded & 65532 | (coded & 3) << 16
}
