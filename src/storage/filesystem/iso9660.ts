/**
 * ISO 9660 with Rock Ridge or Joliet, for reading.
 *
 * The texts are ECMA-119, IEEE P1281 (SUSP) and P1282 (Rock Ridge). Rock Ridge is preferred to
 * Joliet, and that to plain names, which lose their version. Directories that Rock Ridge moved are
 * found where they were moved from. No other logical block size than 2048 is in use, or read.
 */
import { StorageError } from '../error.ts'
import { type DirectoryEntry, type FileStat, type FileSystem, type FileTree, mount }
  from './file-system.ts'
import { readSystemUse } from './rock-ridge.ts'
import { viewOf, type Volume } from './volume.ts'

const ISO_BLOCK_BYTES = 2048
const FIRST_DESCRIPTOR = 16
const MAX_DESCRIPTORS = 100
const PRIMARY = 1
const SUPPLEMENTARY = 2
const TERMINATOR = 255
const ROOT_RECORD_AT = 156
const FLAG_DIRECTORY = 0x02
const FLAG_CONTINUED = 0x80
const MAX_DIRECTORY_BYTES = 64 << 20
const MAX_PARTS = 1024

const corrupt = (message: string): StorageError => new StorageError('corrupt', `ISO: ${message}`)

/** A run of a file's bytes. */
interface Section {
  readonly at: number
  readonly lengthBytes: number
}

interface IsoNode {
  readonly kind: FileStat['kind']
  readonly sections: readonly Section[]
  readonly sizeBytes: number
  readonly modifiedSec: number
  readonly mode: number | undefined
  readonly link: string | undefined
}

interface Names {
  readonly joliet: boolean
  /** Bytes before the first system use entry, where there is Rock Ridge. */
  readonly skip: number | undefined
}

/** The file system on a volume, if it is one of these. */
export async function openIso9660(volume: Volume): Promise<FileSystem | undefined> {
  let primary: Uint8Array | undefined
  let joliet: Uint8Array | undefined
  for (let i = 0; i < MAX_DESCRIPTORS; i++) {
    const at = (FIRST_DESCRIPTOR + i) * ISO_BLOCK_BYTES
    if (at + ISO_BLOCK_BYTES > volume.sizeBytes) break
    const descriptor = await volume.read(at, ISO_BLOCK_BYTES)
    if (String.fromCharCode(...descriptor.subarray(1, 6)) !== 'CD001') break
    if (descriptor[0] === TERMINATOR) break
    if (descriptor[0] === PRIMARY) primary ??= descriptor
    const escape = String.fromCharCode(...descriptor.subarray(88, 91))
    if (descriptor[0] === SUPPLEMENTARY && /^%\/[@CE]$/.test(escape)) joliet ??= descriptor
  }
  if (!primary) return undefined
  if (viewOf(primary).getUint16(128, true) !== ISO_BLOCK_BYTES) throw corrupt('logical blocks')
  const plain = new IsoTree(volume, primary, { joliet: false, skip: undefined })
  const skip = await plain.rockRidgeSkip()
  const tree = skip !== undefined ? new IsoTree(volume, primary, { joliet: false, skip })
    : joliet ? new IsoTree(volume, joliet, { joliet: true, skip: undefined }) : plain
  const label = String.fromCharCode(...primary.subarray(40, 72)).trimEnd()
  return mount({ type: 'iso9660', label, uuid: dateText(primary.subarray(830, 847)) ||
    dateText(primary.subarray(813, 830)) }, tree)
}

/** A volume's date as blkid makes an identity of it: that of its last change, or its making. */
function dateText(bytes: Uint8Array): string {
  const digits = String.fromCharCode(...bytes.subarray(0, 16))
  if (!/^\d{16}$/.test(digits) || /^0*$/.test(digits)) return ''
  return digits.replace(/(....)(..)(..)(..)(..)(..)(..)/, '$1-$2-$3-$4-$5-$6-$7')
}

class IsoTree implements FileTree<IsoNode> {
  readonly root: IsoNode
  readonly ignoresCase: boolean
  readonly #volume: Volume
  readonly #names: Names

  constructor(volume: Volume, descriptor: Uint8Array, names: Names) {
    this.#volume = volume
    this.#names = names
    this.ignoresCase = names.skip === undefined
    const record = descriptor.subarray(ROOT_RECORD_AT, ROOT_RECORD_AT + 34)
    this.root = {
      kind: 'directory', sections: [sectionOf(record)], sizeBytes: sectionOf(record).lengthBytes,
      modifiedSec: dateOf(record), mode: undefined, link: undefined,
    }
  }

  /** Where system use entries begin in records, if the root's first record says that there are. */
  async rockRidgeSkip(): Promise<number | undefined> {
    const { at, lengthBytes } = this.root.sections[0]!
    if (lengthBytes < ISO_BLOCK_BYTES) return undefined
    const block = await this.#volume.read(at, ISO_BLOCK_BYTES)
    const record = block.subarray(0, block[0]!)
    if (record.length < 34 + 7) return undefined
    const use = systemUseOf(record, 0)
    const isMarked = use[0] === 0x53 && use[1] === 0x50 && use[4] === 0xbe && use[5] === 0xef
    return isMarked ? use[6]! : undefined
  }

  async stat(node: IsoNode): Promise<FileStat> {
    const { kind, sizeBytes, modifiedSec, mode } = node
    return { kind, sizeBytes, modifiedSec, ...mode === undefined ? {} : { mode: mode & 0o7777 } }
  }

  async *list(directory: IsoNode): AsyncGenerator<DirectoryEntry<IsoNode>> {
    let earlier: Section[] = []
    for await (const record of this.#records(directory)) {
      const name = record.subarray(33, 33 + record[32]!)
      if (name.length === 1 && name[0]! < 2) continue // The directory itself, and its parent.
      const flags = record[25]!
      earlier.push(sectionOf(record))
      if (earlier.length > MAX_PARTS) throw corrupt('a file in too many parts')
      if (flags & FLAG_CONTINUED) continue
      const entry = await this.#entry(record, name, earlier)
      earlier = []
      if (entry) yield entry
    }
  }

  async *#records(directory: IsoNode): AsyncGenerator<Uint8Array> {
    if (directory.sizeBytes > MAX_DIRECTORY_BYTES) throw corrupt('a directory is too large')
    for (const { at, lengthBytes } of directory.sections) {
      for (let done = 0; done < lengthBytes; done += ISO_BLOCK_BYTES) {
        const block = await this.#volume.read(at + done, ISO_BLOCK_BYTES)
        for (let from = 0; from < ISO_BLOCK_BYTES && block[from] !== 0;) {
          const length = block[from]!
          const record = block.subarray(from, from + length)
          if (length < 34 || record.length < length || record[32]! > length - 33) {
            throw corrupt('a directory record')
          }
          yield record
          from += length
        }
      }
    }
  }

  async #entry(
    record: Uint8Array, nameBytes: Uint8Array, sections: readonly Section[],
  ): Promise<DirectoryEntry<IsoNode> | undefined> {
    const isDirectory = (record[25]! & FLAG_DIRECTORY) !== 0
    const { skip, joliet } = this.#names
    const rock = skip === undefined ? undefined
      : await readSystemUse(this.#volume, systemUseOf(record, skip))
    if (rock?.isMoved) return undefined
    const name = rock?.name ?? (joliet ? jolietName(nameBytes) : plainName(nameBytes))
    if (name === '' || name === '.' || name === '..' || name.includes('/')) return undefined
    const isChild = rock?.childBlock !== undefined
    const own = isChild ? [await this.#movedTo(rock.childBlock!)] : sections
    return {
      name,
      node: {
        kind: isDirectory || isChild ? 'directory' : kindOf(rock?.mode), sections: own,
        sizeBytes: rock?.link === undefined
          ? own.reduce((sum, section) => sum + section.lengthBytes, 0) : rock.link.length,
        modifiedSec: dateOf(record), mode: rock?.mode, link: rock?.link,
      },
    }
  }

  /** A directory that was moved: its own first record tells its size. */
  async #movedTo(block: number): Promise<Section> {
    const record = await this.#volume.read(block * ISO_BLOCK_BYTES, 34)
    return { at: block * ISO_BLOCK_BYTES, lengthBytes: sectionOf(record).lengthBytes }
  }

  async read(node: IsoNode, at: number, lengthBytes: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(lengthBytes)
    let start = 0
    for (const section of node.sections) {
      const from = Math.max(at, start)
      const length = Math.min(at + lengthBytes, start + section.lengthBytes) - from
      if (length > 0) {
        bytes.set(await this.#volume.read(section.at + from - start, length), from - at)
      }
      start += section.lengthBytes
    }
    return bytes
  }

  async readLink(node: IsoNode): Promise<string> {
    return node.link ?? ''
  }
}

/** Where a record's extent is, behind its extended attributes. */
function sectionOf(record: Uint8Array): Section {
  const view = viewOf(record)
  return {
    at: (view.getUint32(2, true) + record[1]!) * ISO_BLOCK_BYTES,
    lengthBytes: view.getUint32(10, true),
  }
}

function dateOf(record: Uint8Array): number {
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0, zone = 0] =
    record.subarray(18, 25)
  const offsetMin = (zone << 24 >> 24) * 15
  return Date.UTC(1900 + year, month - 1, day, hour, minute, second) / 1000 - offsetMin * 60
}

/** What follows a record's name, which is padded to an even length. */
function systemUseOf(record: Uint8Array, skip: number): Uint8Array {
  const nameLength = record[32]!
  return record.subarray(33 + nameLength + (nameLength % 2 === 0 ? 1 : 0) + skip)
}

function plainName(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes).replace(/;\d*$/, '').replace(/\.$/, '')
}

function jolietName(bytes: Uint8Array): string {
  return new TextDecoder('utf-16be').decode(bytes).replace(/;\d*$/, '')
}

function kindOf(mode: number | undefined): FileStat['kind'] {
  switch (mode === undefined ? undefined : mode & 0xf000) {
    case undefined: case 0x8000: return 'file'
    case 0x4000: return 'directory'
    case 0xa000: return 'symlink'
    default: return 'other'
  }
}
