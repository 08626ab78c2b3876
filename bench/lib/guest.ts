/**
 * The guest that is measured: Debian's cloud kernel with our initramfs, from the cache that
 * `npm start` fills, or files that are named.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder, madeFolder, writeWhole } from '../../src/node/cache.ts'
import { ensureGuest, type GuestFiles, type GuestRequest } from '../../src/node/guest-files.ts'
import { buildInitramfs } from '../../src/toolstack/build/initramfs.ts'
import { GuestConsole } from './console.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const BOOT_MS = 600_000
const PROMPT = 'xenolith:~# '

export interface MeasuredFiles extends GuestFiles {
  /** What our initramfs is made from; not there when another was named. */
  readonly busybox?: Uint8Array
}

/** An image that a guest has as a disk. */
export interface BenchDisk {
  readonly path: string
  /** xl's name of its format. */
  readonly format: string
  readonly qemuFormat: string
}

export async function ensureFiles(
  own: Partial<GuestFiles> = {}, moreDrivers: GuestRequest['moreDrivers'] = [],
): Promise<MeasuredFiles> {
  let used: Uint8Array | undefined
  const files = await ensureGuest({
    kind: 'cloud',
    cache: cacheFolder(),
    progress: (step) => void process.stderr.write(`${step}\n`),
    own,
    moreDrivers,
    buildInitrd: (busybox, modules) => {
      used = busybox
      return buildInitramfs(busybox, modules)
    },
  })
  return { ...files, ...used ? { busybox: used } : {} }
}

/** A folder for what can be made again. */
export function scratchFolder(...parts: string[]): string {
  return madeFolder(cacheFolder(), 'bench', ...parts)
}

/** Writes an xl.cfg for a PVH guest and gives its path. */
export function writeConfig(
  name: string, files: GuestFiles, memoryMib = 256,
  { commandLine = 'console=hvc0', vcpus = 1, disks = [] }: {
    readonly commandLine?: string, readonly vcpus?: number, readonly disks?: readonly BenchDisk[]
  } = {},
): string {
  const path = join(scratchFolder(), `${name}.cfg`)
  writeWhole(path, [
    `name = "${name}"`, 'type = "pvh"', `kernel = "${files.kernel}"`, `ramdisk = "${files.initrd}"`,
    `cmdline = "${commandLine}"`, `memory = ${memoryMib}`, `vcpus = ${vcpus}`,
    `disk = ${JSON.stringify(disks.map(({ path: file, format }, i) =>
      `${file},${format},xvd${'abc'[i]},w`))}`, '',
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
