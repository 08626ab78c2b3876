/**
 * cpio archives in the "newc" format, which Linux unpacks as its initramfs.
 *
 * Obeys Documentation/driver-api/early-userspace/buffer-format.rst of Linux. Every file belongs to
 * root and has the time 0, so that equal contents make equal archives.
 */
import { assert } from '../../base/assert.ts'

export type CpioEntry =
  | { readonly kind: 'directory', readonly path: string, readonly mode?: number }
  | {
    readonly kind: 'file', readonly path: string, readonly mode?: number,
    readonly content: Uint8Array
  }
  | { readonly kind: 'link', readonly path: string, readonly target: string }
  | {
    readonly kind: 'device', readonly path: string, readonly mode?: number,
    readonly major: number, readonly minor: number
  }

const MAGIC = '070701'
const HEADER_SIZE = 110
const TRAILER = 'TRAILER!!!'
const S_IFCHR = 0o020000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000
const ALIGNMENT = 4
/** Archives are padded to whole blocks, as cpio itself does. */
const BLOCK = 512

interface Fields {
  readonly inode: number
  readonly mode: number
  readonly links: number
  readonly major: number
  readonly minor: number
}

/** Writes an archive of `entries`, in their order; a folder comes before what is in it. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = []
  let size = 0
  const append = (bytes: Uint8Array, alignment: number) => {
    const padded = Math.ceil((size + bytes.length) / alignment) * alignment - size
    const part = new Uint8Array(padded)
    part.set(bytes)
    parts.push(part)
    size += padded
  }
  const add = (path: string, fields: Fields, content: Uint8Array) => {
    append(header(path, fields, content.length), ALIGNMENT)
    append(content, ALIGNMENT)
  }
  entries.forEach((entry, i) => {
    assert(!entry.path.startsWith('/') && !entry.path.includes('\0'), 'a relative path')
    add(entry.path, fieldsOf(entry, i + 1), contentOf(entry))
  })
  add(TRAILER, { inode: 0, mode: 0, links: 1, major: 0, minor: 0 }, new Uint8Array(0))
  append(new Uint8Array(0), BLOCK)
  const archive = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    archive.set(part, at)
    at += part.length
  }
  return archive
}

function fieldsOf(entry: CpioEntry, inode: number): Fields {
  const plain = { inode, links: 1, major: 0, minor: 0 }
  switch (entry.kind) {
    case 'directory': return { ...plain, mode: S_IFDIR | (entry.mode ?? 0o755), links: 2 }
    case 'file': return { ...plain, mode: S_IFREG | (entry.mode ?? 0o644) }
    case 'link': return { ...plain, mode: S_IFLNK | 0o777 }
    case 'device': {
      const { major, minor, mode = 0o600 } = entry
      return { ...plain, mode: S_IFCHR | mode, major, minor }
    }
  }
}

function contentOf(entry: CpioEntry): Uint8Array {
  if (entry.kind === 'file') return entry.content
  if (entry.kind === 'link') return new TextEncoder().encode(entry.target)
  return new Uint8Array(0)
}

function header(path: string, fields: Fields, size: number): Uint8Array {
  const name = new TextEncoder().encode(`${path}\0`)
  const numbers = [
    fields.inode, fields.mode, 0, 0, fields.links, 0, size,
    0, 0, fields.major, fields.minor, name.length, 0,
  ]
  const text = MAGIC + numbers.map((n) => n.toString(16).padStart(8, '0')).join('')
  const bytes = new Uint8Array(HEADER_SIZE + name.length)
  bytes.set(new TextEncoder().encode(text))
  bytes.set(name, HEADER_SIZE)
  return bytes
}
