/**
 * What a guest's disk would boot: the work of Xen's pygrub.
 *
 * Partitions are looked at in their order, those marked as active first; a disk without partitions
 * is taken as a file system. The first configuration found decides. All of it is the guest's and is
 * not trusted: sizes are bounded, and paths stay in their file system.
 */
import type { BlockStore } from '../../storage/block-store.ts'
import { StorageError } from '../../storage/error.ts'
import type { FileSystem } from '../../storage/filesystem/file-system.ts'
import { openFileSystem } from '../../storage/filesystem/open.ts'
import { readPartitions } from '../../storage/filesystem/partitions.ts'
import { Volume } from '../../storage/filesystem/volume.ts'
import type { BootConfig, BootEntry } from './boot-config.ts'
import { parseGrub2 } from './grub2.ts'
import { parseExtlinux, parseMenuLst } from './line-configs.ts'
import { type BootTerminal, chooseAt } from './menu-session.ts'

export interface BootWishes {
  /** An entry's number from 0, or its title; the configuration's default if there is none such. */
  readonly entry?: string | undefined
  /** With a kernel no configuration is read. */
  readonly kernel?: string | undefined
  readonly ramdisk?: string | undefined
  /** Behind the entry's own arguments. */
  readonly args?: string | undefined
  /** Somebody may choose another entry. */
  readonly isInteractive?: boolean | undefined
  /** Where the file system begins, in bytes; no partitions are looked for then. */
  readonly offset?: number | undefined
  /** The most that kernel and ramdisk together may have. */
  readonly limitBytes?: number | undefined
}

/** What is to be booted, read from the disk. */
export interface BootFiles {
  readonly kernel: Uint8Array
  readonly ramdisk: Uint8Array | undefined
  readonly args: string
}

const MAX_CONFIG_BYTES = 4 << 20
const MAX_KERNEL_BYTES = 256 << 20
const MAX_RAMDISK_BYTES = 1024 << 20
const MAX_RAMDISKS = 16

/** Where configurations are, in the order in which pygrub looks for them. */
const CONFIGS: ReadonlyArray<readonly [string, (text: string, folder: string) => BootConfig]> = [
  ['/boot/grub/grub.cfg', parseGrub2], ['/grub/grub.cfg', parseGrub2],
  ['/boot/grub2/grub.cfg', parseGrub2], ['/grub2/grub.cfg', parseGrub2],
  ['/boot/isolinux/isolinux.cfg', parseExtlinux], ['/boot/extlinux/extlinux.conf', parseExtlinux],
  ['/boot/extlinux.conf', parseExtlinux], ['/extlinux/extlinux.conf', parseExtlinux],
  ['/extlinux.conf', parseExtlinux],
  ['/boot/grub/menu.lst', parseMenuLst], ['/boot/grub/grub.conf', parseMenuLst],
  ['/grub/menu.lst', parseMenuLst], ['/grub/grub.conf', parseMenuLst],
]

/** A file system of the disk that has something to boot. */
interface Found {
  readonly system: FileSystem
  readonly config: BootConfig
}

async function isFile(system: FileSystem, path: string): Promise<boolean> {
  try {
    return (await system.stat(path)).kind === 'file'
  } catch (error) {
    if (error instanceof StorageError) return false
    throw error
  }
}

/** The file systems of a disk, those that cannot be read left out. */
async function* fileSystems(
  store: BlockStore, offset: number | undefined,
): AsyncGenerator<FileSystem> {
  const table = offset === undefined ? await readPartitions(store) : undefined
  const partitions = [...table?.partitions ?? []]
    .sort((a, b) => Number(b.isActive) - Number(a.isActive) || a.number - b.number)
  const volumes = partitions.map((one) => new Volume(store, one.offset, one.sizeBytes))
  if (partitions.length === 0) volumes.push(new Volume(store, offset ?? 0))
  for (const volume of volumes) {
    const system = await openFileSystem(volume).catch((error: unknown) => {
      if (error instanceof StorageError) return undefined
      throw error
    })
    if (system) yield system
  }
}

async function findConfig(store: BlockStore, offset: number | undefined): Promise<Found> {
  for await (const system of fileSystems(store, offset)) {
    for (const [path, parse] of CONFIGS) {
      if (!await isFile(system, path)) continue
      const text = new TextDecoder().decode(await system.readWhole(path, MAX_CONFIG_BYTES))
      const config = parse(text, path.replace(/\/[^/]*$/, ''))
      if (config.entries.length > 0) return { system, config }
    }
  }
  throw new StorageError('not found', 'no configuration of a boot loader was found on the disk')
}

/** The entries that a disk's boot loader would offer. */
export async function listBootEntries(
  store: BlockStore, offset?: number,
): Promise<readonly BootEntry[]> {
  return (await findConfig(store, offset)).config.entries
}

/** The index of the entry that is wanted, or else of the default. */
function indexOf({ entries, defaultIndex }: BootConfig, wanted: string | undefined): number {
  if (/^\d+$/.test(wanted ?? '') && entries[Number(wanted)]) return Number(wanted)
  const byTitle = entries.findIndex(({ title }) => title === wanted)
  return byTitle >= 0 ? byTitle : entries[defaultIndex] ? defaultIndex : 0
}

async function readFiles(
  system: FileSystem, kernelPath: string, ramdisks: readonly string[], args: string,
  limitBytes = Infinity,
): Promise<BootFiles> {
  if (ramdisks.length > MAX_RAMDISKS) throw new StorageError('unsupported', 'too many ramdisks')
  const kernel = await system.readWhole(kernelPath, Math.min(MAX_KERNEL_BYTES, limitBytes))
  const parts: Uint8Array[] = []
  const most = Math.min(MAX_RAMDISK_BYTES, limitBytes - kernel.length)
  let room = most
  for (const path of ramdisks) {
    const part = await system.readWhole(path, room)
    room -= part.length
    parts.push(part)
  }
  const ramdisk = new Uint8Array(most - room)
  let at = 0
  for (const part of parts) {
    ramdisk.set(part, at)
    at += part.length
  }
  return { kernel, ramdisk: parts.length > 0 ? ramdisk : undefined, args }
}

/**
 * Finds and reads what the disk would boot, or what is chosen at `terminal`. With a kernel given
 * there is nothing to choose.
 */
export async function findBootFiles(
  store: BlockStore, wishes: BootWishes, terminal?: BootTerminal,
): Promise<BootFiles> {
  const given = wishes.ramdisk === undefined ? undefined : [wishes.ramdisk]
  if (wishes.kernel !== undefined) {
    for await (const system of fileSystems(store, wishes.offset)) {
      if (!await isFile(system, wishes.kernel)) continue
      return readFiles(system, wishes.kernel, given ?? [], wishes.args ?? '',
        wishes.limitBytes)
    }
    throw new StorageError('not found', `no file system of the disk has ${wishes.kernel}`)
  }
  const { system, config } = await findConfig(store, wishes.offset)
  const index = indexOf(config, wishes.entry)
  const entry = terminal && wishes.isInteractive
    ? await chooseAt(terminal, config, index) : config.entries[index]!
  if (entry.kernel === undefined) {
    throw new StorageError('unsupported', `the entry '${entry.title}' names no kernel`)
  }
  const args = [entry.args, wishes.args ?? ''].filter((part) => part !== '').join(' ')
  return readFiles(system, entry.kernel, given ?? entry.ramdisks, args, wishes.limitBytes)
}
