/**
 * The guest that is measured: Debian's cloud kernel with our initramfs, from the cache that
 * `npm start` fills, or files that are named.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder, madeFolder, writeWhole } from '../../src/node/cache.ts'
import { ensureGuest, type GuestFiles } from '../../src/node/guest-files.ts'
import { buildInitramfs } from '../../src/toolstack/build/initramfs.ts'
import { GuestConsole } from './console.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const PROMPT = 'xenolith:~# '
export const BOOT_MS = 600_000

export function ensureFiles(own: Partial<GuestFiles> = {}): Promise<GuestFiles> {
  return ensureGuest({
    kind: 'cloud',
    cache: cacheFolder(),
    progress: (step) => void process.stderr.write(`${step}\n`),
    own,
    buildInitrd: (busybox) => buildInitramfs(busybox),
  })
}

/** A folder for what can be made again. */
export function scratchFolder(...parts: string[]): string {
  return madeFolder(cacheFolder(), 'bench', ...parts)
}

/** Writes an xl.cfg for a PVH guest and gives its path. */
export function writeConfig(
  name: string, files: GuestFiles, memoryMib = 256, commandLine = 'console=hvc0',
): string {
  const path = join(scratchFolder(), `${name}.cfg`)
  writeWhole(path, [
    `name = "${name}"`, 'type = "pvh"', `kernel = "${files.kernel}"`, `ramdisk = "${files.initrd}"`,
    `cmdline = "${commandLine}"`, `memory = ${memoryMib}`, 'vcpus = 1', '',
  ].join('\n'))
  return path
}

/** Starts `xl create` with the console here and the machine in the same process. */
export function createGuest(config: string, environment: NodeJS.ProcessEnv): GuestConsole {
  const node = join(root, 'node_modules/.bin/node')
  return new GuestConsole(node,
    [join(root, 'src/bin/xl.ts'), 'create', '--foreground', '-c', config], environment)
}
