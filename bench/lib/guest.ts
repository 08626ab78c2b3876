/**
 * The guest that is measured: Debian's cloud kernel with our initramfs, from the cache that
 * `npm start` fills, or files that are named.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder, madeFolder, writeWhole } from '../../src/node/cache.ts'
import { ensureGuest, type GuestFiles } from '../../src/node/guest-files.ts'
import { writeCpio } from '../../src/toolstack/build/cpio.ts'
import { buildInitramfs } from '../../src/toolstack/build/initramfs.ts'
import { GuestConsole } from './console.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const BOOT_MS = 600_000
const PROMPT = 'xenolith:~# '

export interface MeasuredFiles extends GuestFiles {
  /** What our initramfs is made from; not there when another was named. */
  readonly busybox?: Uint8Array
}

/** What QEMU's guests need for their disks and interfaces, in the order of loading. */
const VIRTIO_DRIVERS = [
  ['drivers/virtio', 'virtio_ring.ko'], ['drivers/virtio', 'virtio.ko'],
  ['drivers/virtio', 'virtio_pci_legacy_dev.ko'], ['drivers/virtio', 'virtio_pci_modern_dev.ko'],
  ['drivers/virtio', 'virtio_pci.ko'], ['drivers/block', 'virtio_blk.ko'],
  ['net/core', 'failover.ko'], ['drivers/net', 'net_failover.ko'], ['drivers/net', 'virtio_net.ko'],
] as const

/** The command that loads them. */
export const loadVirtio =
  `for m in ${VIRTIO_DRIVERS.map(([, name]) => name).join(' ')}; do insmod /lib/modules/$m; done`

/** An image that a guest has as a disk. */
export interface BenchDisk {
  readonly path: string
  /** xl's name of its format. */
  readonly format: string
  readonly qemuFormat: string
}

/** The files, whose initramfs has the drivers of virtio devices too if it is `withVirtio`. */
export async function ensureFiles(
  own: Partial<GuestFiles> = {}, withVirtio = false,
): Promise<MeasuredFiles> {
  let used: Uint8Array | undefined
  const files = await ensureGuest({
    kind: 'cloud',
    cache: cacheFolder(),
    progress: (step) => void process.stderr.write(`${step}\n`),
    own,
    moreDrivers: withVirtio ? VIRTIO_DRIVERS : [],
    buildInitrd: (busybox, modules) => {
      used = busybox
      return buildInitramfs(busybox, modules)
    },
  })
  return { ...files, ...used ? { busybox: used } : {} }
}

/** Files whose initramfs has a program too, compiled from `source` and named as that is. */
export function addProgram(files: MeasuredFiles, source: string, folder: string): MeasuredFiles {
  const name = basename(source, '.c')
  const program = join(folder, name)
  execFileSync('gcc', ['-O2', '-static', '-Wall', '-Wextra', source, '-o', program])
  const initrd = join(folder, 'initrd')
  writeWhole(initrd, Buffer.concat([readFileSync(files.initrd), writeCpio([
    { kind: 'file', path: `bin/${name}`, mode: 0o755, content: readFileSync(program) },
  ])]))
  return { ...files, initrd }
}

/** A folder for what can be made again. */
export function scratchFolder(...parts: string[]): string {
  return madeFolder(cacheFolder(), 'bench', ...parts)
}

/** Writes an xl.cfg for a PVH guest and gives its path. */
export function writeConfig(
  name: string, files: GuestFiles, memoryMib = 256,
  { commandLine = 'console=hvc0', vcpus = 1, disks = [], vifs = [] }: {
    readonly commandLine?: string, readonly vcpus?: number, readonly disks?: readonly BenchDisk[],
    readonly vifs?: readonly string[]
  } = {},
): string {
  const path = join(scratchFolder(), `${name}.cfg`)
  writeWhole(path, [
    `name = "${name}"`, 'type = "pvh"', `kernel = "${files.kernel}"`, `ramdisk = "${files.initrd}"`,
    `cmdline = "${commandLine}"`, `memory = ${memoryMib}`, `vcpus = ${vcpus}`,
    `disk = ${JSON.stringify(disks.map(({ path: file, format }, i) =>
      `${file},${format},xvd${'abc'[i]},w`))}`, `vif = ${JSON.stringify(vifs)}`, '',
  ].join('\n'))
  return path
}

/** A guest at its shell. */
export class GuestShell {
  readonly console: GuestConsole

  constructor(console: GuestConsole) {
    this.console = console
  }

  /** Waits for the boot to end. */
  async ready(): Promise<void> {
    await this.console.expect(PROMPT, BOOT_MS)
  }

  /** Runs a command and gives what it says. */
  async run(command: string, timeoutMs: number): Promise<string> {
    // The shell echoes what it reads, so that must not hold what is waited for.
    this.console.send(`echo BE''GIN; ${command}; echo E''ND-OF-IT\n`)
    await this.console.expect('BEGIN', timeoutMs)
    const said = await this.console.expect('END-OF-IT', timeoutMs)
    await this.console.expect(PROMPT, timeoutMs)
    return said
  }

  close(): Promise<void> {
    return this.console.close()
  }
}

/** Runs `xl create` with console and machine in one process, and waits for the shell. */
export async function bootGuest(
  config: string, environment: NodeJS.ProcessEnv,
): Promise<GuestShell> {
  const node = join(root, 'node_modules/.bin/node')
  const guest = new GuestShell(new GuestConsole(node,
    [join(root, 'src/bin/xl.ts'), 'create', '--foreground', '-c', config], environment))
  try {
    await guest.ready()
  } catch (error) {
    await guest.close()
    throw error
  }
  return guest
}
