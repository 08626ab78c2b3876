/**
 * File systems on disks, for reading: paths and symbolic links over what each format has.
 *
 * The content is a guest's: a path leads nowhere but into the same file system, and all work is
 * bounded by the disk's size or by limits of ours. What contradicts itself is a StorageError.
 */
import { StorageError } from '../error.ts'

export type FileKind = 'file' | 'directory' | 'symlink' | 'other'

export interface FileStat {
  readonly kind: FileKind
  readonly sizeBytes: number
  /** Permission bits, where the file system has them. */
  readonly mode?: number
  /** Seconds since 1970. */
  readonly modifiedSec?: number
}

export interface DirectoryEntry<N> {
  readonly name: string
  readonly node: N
}

/** What a format has to offer: nodes, by whatever it knows them. */
export interface FileTree<N> {
  readonly root: N
  stat(node: N): Promise<FileStat>
  /** The entries of a directory but `.` and `..`. */
  list(directory: N): AsyncIterable<DirectoryEntry<N>>
  /** Bytes of a file; the range is within it. */
  read(node: N, at: number, lengthBytes: number): Promise<Uint8Array>
  readLink(node: N): Promise<string>
  /** Whether names that differ in case are the same. */
  readonly ignoresCase: boolean
}

const MAX_LINKS = 40
const MAX_PATH_PARTS = 1000
const MAX_ENTRIES = 1 << 20
const CHUNK_BYTES = 1 << 20
/** Directories that are remembered. */
const MAX_DIRECTORIES = 16
const MAX_LINK_BYTES = 4096

export interface FileSystem {
  readonly type: string
  readonly label: string
  /** As blkid prints it; empty where there is none. */
  readonly uuid: string
  readDirectory(path: string): Promise<string[]>
  /** Of what a path leads to; symbolic links are followed. */
  stat(path: string): Promise<FileStat>
  /** Of the last part of a path itself. */
  linkStat(path: string): Promise<FileStat>
  readLink(path: string): Promise<string>
  /** A file's bytes from `at` on, in chunks. */
  readFile(path: string, at?: number): AsyncGenerator<Uint8Array>
  /** All of a file that must not be larger than `limitBytes`. */
  readWhole(path: string, limitBytes: number): Promise<Uint8Array>
}

export interface FileSystemFacts {
  readonly type: string
  readonly label: string
  readonly uuid: string
}

export function mount<N>(facts: FileSystemFacts, tree: FileTree<N>): FileSystem {
  return new Mounted(facts, tree)
}

class Mounted<N> implements FileSystem {
  readonly type: string
  readonly label: string
  readonly uuid: string
  readonly #tree: FileTree<N>
  /** In the order of use, the oldest first; the content does not change under a reader. */
  readonly #directories = new Map<N, Map<string, N>>()

  constructor(facts: FileSystemFacts, tree: FileTree<N>) {
    this.type = facts.type
    this.label = facts.label
    this.uuid = facts.uuid
    this.#tree = tree
  }

  async readDirectory(path: string): Promise<string[]> {
    const node = await this.#find(path, true)
    const names: string[] = []
    for await (const { name } of this.#entries(node, path)) names.push(name)
    return names
  }

  async stat(path: string): Promise<FileStat> {
    return this.#tree.stat(await this.#find(path, true))
  }

  async linkStat(path: string): Promise<FileStat> {
    return this.#tree.stat(await this.#find(path, false))
  }

  async readLink(path: string): Promise<string> {
    const node = await this.#find(path, false)
    const { kind } = await this.#tree.stat(node)
    if (kind !== 'symlink') throw new StorageError('wrong kind', `${path}: not a symbolic link`)
    return this.#target(node)
  }

  async *readFile(path: string, at = 0): AsyncGenerator<Uint8Array> {
    const node = await this.#find(path, true)
    const { kind, sizeBytes } = await this.#tree.stat(node)
    if (kind !== 'file') throw new StorageError('wrong kind', `${path}: not a file`)
    for (let from = at; from < sizeBytes; from += CHUNK_BYTES) {
      yield this.#tree.read(node, from, Math.min(CHUNK_BYTES, sizeBytes - from))
    }
  }

  async readWhole(path: string, limitBytes: number): Promise<Uint8Array> {
    const { sizeBytes } = await this.stat(path)
    if (sizeBytes > limitBytes) {
      throw new StorageError('unsupported', `${path}: larger than ${limitBytes} bytes`)
    }
    const bytes = new Uint8Array(sizeBytes)
    let at = 0
    for await (const part of this.readFile(path)) {
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }

  async *#entries(node: N, path: string): AsyncGenerator<DirectoryEntry<N>> {
    if ((await this.#tree.stat(node)).kind !== 'directory') {
      throw new StorageError('wrong kind', `${path}: not a directory`)
    }
    let count = 0
    for await (const entry of this.#tree.list(node)) {
      count += 1
      if (count > MAX_ENTRIES) throw new StorageError('corrupt', `${path}: too many entries`)
      yield entry
    }
  }

  async #target(node: N): Promise<string> {
    const { sizeBytes } = await this.#tree.stat(node)
    if (sizeBytes > MAX_LINK_BYTES) throw new StorageError('corrupt', 'a symbolic link is too long')
    return this.#tree.readLink(node)
  }

  /** The node at a path from the root; `..` of the root is the root. */
  async #find(path: string, followLast: boolean): Promise<N> {
    const parts = path.split('/').reverse()
    const trail: N[] = [this.#tree.root]
    let links = 0
    for (let walked = 0; parts.length > 0; walked++) {
      if (walked > MAX_PATH_PARTS) throw new StorageError('invalid', `${path}: too long`)
      const part = parts.pop()!
      if (part === '' || part === '.') continue
      if (part === '..') {
        if (trail.length > 1) trail.pop()
        continue
      }
      const node = await this.#lookup(trail.at(-1)!, part, path)
      const { kind } = await this.#tree.stat(node)
      if (kind === 'symlink' && (followLast || parts.length > 0)) {
        links += 1
        if (links > MAX_LINKS) throw new StorageError('corrupt', `${path}: too many symbolic links`)
        const target = await this.#target(node)
        if (target.startsWith('/')) trail.length = 1
        parts.push(...target.split('/').reverse())
      } else {
        trail.push(node)
      }
    }
    return trail.at(-1)!
  }

  async #lookup(directory: N, name: string, path: string): Promise<N> {
    const entries = await this.#directory(directory, path)
    const node = entries.get(this.#keyOf(name))
    if (node === undefined) throw new StorageError('not found', `${path}: there is no ${name}`)
    return node
  }

  #keyOf(name: string): string {
    return this.#tree.ignoresCase ? name.toLowerCase() : name
  }

  /** The entries of a directory by name; the first of a name counts. */
  async #directory(node: N, path: string): Promise<Map<string, N>> {
    let entries = this.#directories.get(node)
    if (!entries) {
      entries = new Map()
      for await (const { name, node: child } of this.#entries(node, path)) {
        const key = this.#keyOf(name)
        if (!entries.has(key)) entries.set(key, child)
      }
    }
    this.#directories.delete(node)
    this.#directories.set(node, entries)
    if (this.#directories.size > MAX_DIRECTORIES) {
      const [oldest] = this.#directories.keys()
      this.#directories.delete(oldest!)
    }
    return entries
  }
}
