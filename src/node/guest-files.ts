/**
 * The first guest's files: a Debian kernel and a busybox, fetched once and kept in the cache.
 *
 * Debian's packages are found by the names of its meta packages, whose dependency is the kernel of
 * the day. What was fetched is noted in a small JSON file beside it, and is used without asking the
 * network again.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { packedFormatOf, unpack } from '../base/compression/formats.ts'
import { madeFolder, writeWhole } from './cache.ts'
import { nodeDecompressor } from './compression.ts'
import {
  Apt, extractFile, type PackageInfo, PackageError, type Progress, requireTools,
} from './packages.ts'

/** Debian's small kernel for clouds, or its full one. */
export type GuestKind = 'cloud' | 'full'

export interface GuestFiles {
  readonly kernel: string
  readonly initrd: string
}

export interface GuestRequest {
  readonly kind: GuestKind
  /** The cache folder. */
  readonly cache: string
  readonly progress: Progress
  /** Files that the user has, and which are not fetched. */
  readonly own: Partial<GuestFiles>
  /** Makes the initramfs that holds a busybox, and modules of the kernel. */
  readonly buildInitrd: (busybox: Uint8Array, modules: readonly ModuleFile[]) => Uint8Array
  /** Modules beside those of PV devices: folder among the kernel's modules, name. */
  readonly moreDrivers?: readonly Driver[]
}

type Driver = readonly [folder: string, name: string]

/** A module as the kernel loads it. */
export interface ModuleFile {
  readonly name: string
  readonly content: Uint8Array
}

/** Meta packages in order of preference: Debian's name, then Ubuntu's. */
const KERNELS: Readonly<Record<GuestKind, readonly string[]>> = {
  cloud: ['linux-image-cloud-amd64', 'linux-image-virtual'],
  full: ['linux-image-amd64', 'linux-image-generic'],
}
const BUSYBOX = 'busybox-static'
/** The drivers of PV devices, which Debian's kernels have as modules: folder, name. */
const DRIVERS: readonly Driver[] = [
  ['drivers/net', 'xen-netfront.ko'], ['drivers/block', 'xen-blkfront.ko'],
]
const MODULE_LIMIT = 16 * 1024 * 1024
/** A meta package leads to the kernel's package, in newer releases through one more. */
const META_DEPTH = 3
const KERNEL_PACKAGE = /^linux-(image|binary)-/

interface Note {
  readonly package: string
  readonly version: string
  readonly file: string
}

/** Gives the files of a guest, fetching what the cache does not have. */
export async function ensureGuest(request: GuestRequest): Promise<GuestFiles> {
  const { cache, kind, own } = request
  const folder = madeFolder(cache, 'guest')
  const fetcher = new Fetcher(cache, request.progress)
  try {
    const kernel = own.kernel ?? await cached(folder, `kernel-${kind}`, () => {
      return fetcher.fetch(KERNELS[kind], folder, './boot/vmlinuz-*', kernelName)
    })
    const initrd = own.initrd ?? await ensureInitrd(request, folder, fetcher)
    return { kernel, initrd }
  } finally {
    fetcher.close()
  }
}

/** The initramfs is made from its parts and from this program, so it is compared each time. */
async function ensureInitrd(
  request: GuestRequest, folder: string, fetcher: Fetcher,
): Promise<string> {
  const { kind, own } = request
  const modules = own.kernel === undefined ? await ensureModules(request, folder, fetcher) : []
  const busybox = await cached(folder, 'busybox', () => {
    return fetcher.fetch([BUSYBOX], folder, '*bin/busybox', (info) => `busybox-${info.version}`)
  })
  // One a kernel, as modules fit no other.
  const more = request.moreDrivers?.length ? '-more' : ''
  const initrd = join(folder, `initrd-${own.kernel === undefined ? kind : 'plain'}${more}`)
  const archive = request.buildInitrd(readFileSync(busybox), modules)
  if (!existsSync(initrd) || !readFileSync(initrd).equals(archive)) writeWhole(initrd, archive)
  return initrd
}

/** The kernel's PV drivers; without those that its package has not, or that cannot be had. */
async function ensureModules(
  request: GuestRequest, folder: string, fetcher: Fetcher,
): Promise<ModuleFile[]> {
  const { kind, progress } = request
  const modules: ModuleFile[] = []
  for (const [place, name] of [...DRIVERS, ...request.moreDrivers ?? []]) {
    const note = `${name}-${kind}`
    // Where a driver is not in the kernel's package, that is noted too.
    if (readNote(join(folder, `${note}.json`))?.file === '') continue
    try {
      const path = await cached(folder, note, () => fetcher.fetch(KERNELS[kind], folder,
        `*/kernel/${place}/${name}*`, (info) => `${name}-${kernelName(info)}`, true))
      if (path === folder) continue
      const packed = readFileSync(path)
      const format = packedFormatOf(packed)
      const content = format === undefined
        ? packed : unpack(format, packed, { limit: MODULE_LIMIT }, nodeDecompressor)
      modules.push({ name, content })
    } catch (error) {
      if (!(error instanceof PackageError)) throw error
      progress(`The guest will not have ${name}: ${error.message}`)
    }
  }
  return modules
}

function kernelName(info: PackageInfo): string {
  return info.name.replace(/^linux-(image|binary)-/, 'vmlinuz-')
}

/** The path that the note `name` tells of, or a new one from `fetch`. */
async function cached(folder: string, name: string, fetch: () => Promise<Note>): Promise<string> {
  const noteFile = join(folder, `${name}.json`)
  const old = readNote(noteFile)
  if (old) {
    const path = join(folder, old.file)
    if (existsSync(path) && statSync(path).size > 0) return path
  }
  const note = await fetch()
  writeWhole(noteFile, `${JSON.stringify(note, undefined, 2)}\n`)
  return join(folder, note.file)
}

function readNote(path: string): Note | undefined {
  try {
    const note = JSON.parse(readFileSync(path, 'utf8')) as Partial<Note>
    return typeof note.file === 'string' && !note.file.includes('/') ? note as Note : undefined
  } catch {
    return undefined
  }
}

/** An apt client that comes to life when it is first needed. */
class Fetcher {
  readonly #cache: string
  readonly #progress: Progress
  #apt: Apt | undefined
  /** Packages that were downloaded already. */
  readonly #files = new Map<string, string>()

  constructor(cache: string, progress: Progress) {
    this.#cache = cache
    this.#progress = progress
  }

  /**
   * Fetches the first of `names` that exists, and takes one file out of it. An `optional` one that
   * is not there is noted with an empty name.
   */
  async fetch(
    names: readonly string[], folder: string, pattern: string,
    fileName: (info: PackageInfo) => string, optional = false,
  ): Promise<Note> {
    requireTools()
    this.#apt ??= new Apt(join(this.#cache, `apt-${process.pid}`), this.#progress)
    const info = await this.#resolve(this.#apt, names)
    const downloads = madeFolder(this.#cache, `apt-${process.pid}`, 'downloads')
    const packageFile = this.#files.get(info.name) ?? await this.#apt.download(info, downloads)
    this.#files.set(info.name, packageFile)
    const file = fileName(info).replaceAll(/[^\w.+~-]/g, '_')
    this.#progress(`Unpacking ${info.name} ...`)
    try {
      await extractFile(packageFile, pattern, join(folder, file))
    } catch (error) {
      if (!optional || !(error instanceof PackageError)) throw error
      return { package: info.name, version: info.version, file: '' }
    }
    return { package: info.name, version: info.version, file }
  }

  close(): void {
    this.#apt?.close()
  }

  async #resolve(apt: Apt, names: readonly string[]): Promise<PackageInfo> {
    for (const name of names) {
      let info = await apt.show(name)
      for (let depth = 0; info && depth < META_DEPTH; depth++) {
        const next: string | undefined = info.depends.find((other) => KERNEL_PACKAGE.test(other))
        if (!next) break
        info = await apt.show(next)
      }
      if (info) return info
    }
    throw new PackageError(`the machine's apt sources have no package ${names.join(' or ')}`)
  }
}
