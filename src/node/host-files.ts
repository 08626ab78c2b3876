/**
 * Files and block devices of the host, through Node, with locks.
 *
 * Node offers neither flock(2) nor fallocate(2). Both are had without native code from util-linux's
 * (or busybox's) programs of these names (flock.ts). Where there is no `flock`, only this process
 * is kept from opening a file twice for writing.
 *
 * QEMU locks with fcntl(2), which flock does not see; /proc/locks does, and is looked at when a
 * file is opened. A QEMU that is started later is not kept out.
 */
import { constants, readvSync, writevSync } from 'node:fs'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { dirname, isAbsolute, relative, resolve } from 'node:path'
import {
  type HostFile, HostFileError, type HostFileProblem, type HostFiles, type Piece,
} from '../base/host-file.ts'
import { wordsOf } from './files.ts'
import { lockFile, runOn } from './flock.ts'
import { Promptness } from './promptness.ts'

const SECTOR_BYTES = 512
/** QEMU's permission bytes: byte 100 + n is locked by who holds n, 200 + n by who forbids it. */
const QEMU_HOLDS_WRITE = 101
const QEMU_FORBIDS_WRITE = 201

const PROBLEMS: Readonly<Record<string, HostFileProblem>> = {
  ENOENT: 'not found', ENOTDIR: 'not found', EEXIST: 'exists', EACCES: 'denied', EPERM: 'denied',
  EROFS: 'denied', ENOSPC: 'no space', EDQUOT: 'no space', EFBIG: 'no space',
  EISDIR: 'not a file', ENXIO: 'not a file',
}

function hostError(path: string, cause: unknown): HostFileError {
  if (cause instanceof HostFileError) return cause
  const error = cause as NodeJS.ErrnoException
  return new HostFileError(
    PROBLEMS[error.code ?? ''] ?? 'failed', `${path}: ${wordsOf(error)}`, { cause })
}

/** Who has which file open in this process, by device and inode. */
const held = new Map<string, { writer: boolean, count: number }>()

class NodeHostFile implements HostFile {
  readonly path: string
  readonly writable: boolean
  readonly isDevice: boolean
  sizeBytes: number
  readonly #handle: FileHandle
  readonly #key: string
  readonly #promptness = new Promptness()
  #canPunch: boolean

  constructor(
    path: string, handle: FileHandle, writable: boolean, key: string, size: number,
    isDevice: boolean,
  ) {
    this.path = path
    this.#handle = handle
    this.writable = writable
    this.#key = key
    this.sizeBytes = size
    this.isDevice = isDevice
    this.#canPunch = !isDevice && writable
  }

  async read(at: number, into: Uint8Array): Promise<number> {
    return this.#guard(async () => {
      const count = this.readNow(at, [into])
      if (count !== undefined) return count
      let done = 0
      while (done < into.length) {
        const { bytesRead } = await this.#handle.read(into, done, into.length - done, at + done)
        if (bytesRead === 0) break
        done += bytesRead
      }
      return done
    })
  }

  async write(at: number, from: Uint8Array): Promise<void> {
    await this.#guard(async () => {
      if (this.writeNow(at, [from])) return
      let done = 0
      while (done < from.length) {
        const { bytesWritten } =
          await this.#handle.write(from, done, from.length - done, at + done)
        done += bytesWritten
        this.#reached(at + done)
      }
    })
  }

  readNow(at: number, into: readonly Uint8Array[]): number | undefined {
    if (!this.#promptness.isLikely()) return undefined
    return this.#timed(into, () => {
      let count = readvSync(this.#handle.fd, into, at)
      for (let rest = after(into, count); rest.length > 0; rest = after(into, count)) {
        const more = readvSync(this.#handle.fd, rest, at + count)
        if (more === 0) break
        count += more
      }
      return count
    })
  }

  writeNow(at: number, from: readonly Uint8Array[]): boolean {
    if (!this.#promptness.isLikely()) return false
    this.#timed(from, () => this.#writeAll(at, from))
    return true
  }

  async writeInOrder(pieces: readonly Piece[]): Promise<void> {
    await this.#guard(async () => {
      for (const { at, bytes } of pieces) this.#writeAll(at, [bytes])
    })
  }

  #timed<T>(pieces: readonly Uint8Array[], run: () => T): T {
    const start = performance.now()
    try {
      return run()
    } catch (cause) {
      throw hostError(this.path, cause)
    } finally {
      this.#promptness.took(performance.now() - start, lengthOf(pieces))
    }
  }

  #writeAll(at: number, from: readonly Uint8Array[]): void {
    for (let rest = from, done = 0; rest.length > 0; rest = after(from, done)) {
      done += writevSync(this.#handle.fd, rest, at + done)
      this.#reached(at + done)
    }
  }

  async flush(): Promise<void> {
    await this.#guard(() => this.#handle.datasync())
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#guard(() => this.#handle.truncate(sizeBytes))
    this.sizeBytes = sizeBytes
  }

  async punchHole(at: number, lengthBytes: number): Promise<boolean> {
    if (!this.#canPunch || lengthBytes === 0) return false
    const args = ['-p', '-o', String(at), '-l', String(lengthBytes), '/proc/self/fd/3']
    this.#canPunch = await runOn(this.#handle.fd, 'fallocate', args) === 0
    return this.#canPunch
  }

  async close(): Promise<void> {
    release(this.#key)
    await this.#guard(() => this.#handle.close())
  }

  #reached(end: number): void {
    if (end > this.sizeBytes) this.sizeBytes = end
  }

  async #guard<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (cause) {
      throw hostError(this.path, cause)
    }
  }
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  let sum = 0
  for (const { length } of pieces) sum += length
  return sum
}

/** What is left of pieces after their first `count` bytes. */
function after(pieces: readonly Uint8Array[], count: number): Uint8Array[] {
  let index = 0
  let left = count
  while (index < pieces.length && left >= pieces[index]!.length) left -= pieces[index++]!.length
  const rest = pieces.slice(index)
  if (left > 0) rest[0] = rest[0]!.subarray(left)
  return rest
}

function take(key: string, writer: boolean): boolean {
  const other = held.get(key)
  if (other && (writer || other.writer)) return false
  held.set(key, { writer, count: (other?.count ?? 0) + 1 })
  return true
}

function release(key: string): void {
  const entry = held.get(key)
  if (entry && --entry.count === 0) held.delete(key)
}

/** Whether a QEMU has locked the file in a way that does not go with our use of it. */
export function qemuForbids(
  locks: string, device: number, inode: number, writable: boolean,
): boolean {
  const file = `${hex(majorOf(device))}:${hex(minorOf(device))}:${inode}`
  return locks.split('\n').some((line) => {
    const [, kind, , , , place, first, last] = line.trim().split(/\s+/)
    if (kind !== 'OFDLCK' || place !== file) return false
    const covers = (byte: number): boolean => Number(first) <= byte && byte <= Number(last)
    return covers(QEMU_HOLDS_WRITE) || writable && covers(QEMU_FORBIDS_WRITE)
  })
}

const hex = (n: number): string => n.toString(16).padStart(2, '0')

// As glibc packs device numbers.
const majorOf = (device: number): number =>
  Math.floor(device / 256) % 4096 + Math.floor(device / 2 ** 44) * 4096
const minorOf = (device: number): number =>
  device % 256 + Math.floor(device / 2 ** 20) % 2 ** 24 * 256

async function lockOrRefuse(
  path: string, handle: FileHandle, device: number, inode: number, writable: boolean,
): Promise<void> {
  const refuse = (who: string): never => {
    throw new HostFileError('locked', `${path}: in use by ${who}`)
  }
  if (await lockFile(handle.fd, writable) === false) refuse('another process')
  const locks = await readFile('/proc/locks', 'latin1').catch(() => '')
  if (qemuForbids(locks, device, inode, writable)) refuse('QEMU')
}

/** A device's size is where Linux shows it, as its file has none. */
async function deviceSize(path: string, device: number): Promise<number> {
  const name = `${majorOf(device)}:${minorOf(device)}`
  const text = await readFile(`/sys/dev/block/${name}/size`, 'latin1').catch(() => undefined)
  if (text === undefined) throw new HostFileError('failed', `${path}: its size is not known`)
  return Number(text) * SECTOR_BYTES
}

async function openFile(path: string, flags: number, writable: boolean): Promise<NodeHostFile> {
  let handle: FileHandle | undefined
  let key = ''
  try {
    // A pipe or a terminal must not hold us up.
    handle = await open(path, flags | constants.O_NONBLOCK, 0o666)
    const stat = await handle.stat()
    const isDevice = stat.isBlockDevice()
    if (!stat.isFile() && !isDevice) {
      throw new HostFileError('not a file', `${path}: neither a file nor a block device`)
    }
    const identity = `${stat.dev}:${stat.ino}`
    if (!take(identity, writable)) {
      throw new HostFileError('locked', `${path}: in use by this process`)
    }
    key = identity
    await lockOrRefuse(path, handle, stat.dev, stat.ino, writable)
    const size = isDevice ? await deviceSize(path, stat.rdev) : (await handle.stat()).size
    return new NodeHostFile(path, handle, writable, key, size, isDevice)
  } catch (cause) {
    await handle?.close()
    release(key)
    throw hostError(path, cause)
  }
}

export const nodeHostFiles: HostFiles = {
  open: (path, access) => access === 'write'
    ? openFile(path, constants.O_RDWR, true) : openFile(path, constants.O_RDONLY, false),
  async create(path) {
    const file = await openFile(path, constants.O_RDWR | constants.O_CREAT, true)
    try {
      if (!file.isDevice) await file.truncate(0)
    } catch (error) {
      await file.close()
      throw error
    }
    return file
  },
  resolve: (path, named) => isAbsolute(named) ? named : resolve(dirname(path), named),
  relative: (path, target) => relative(dirname(resolve(path)), resolve(target)),
}
