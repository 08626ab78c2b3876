/**
 * libxl's running of a boot loader: pygrub, which finds kernel, ramdisk and arguments on the first
 * of a domain's disks, in whatever image that is; or pvnetboot, which fetches them.
 *
 * `bootloader` may be one's name or any path to it; it is ours that runs, in this process. What the
 * configuration names as kernel and ramdisk are then files of the guest's disk, or of the location
 * that pvnetboot is given; the command line follows what the disk has. Its terminal is the domain's
 * console, where it also says why it failed.
 */
import { HostFileError } from '../../base/host-file.ts'
import type { BlockStore } from '../../storage/block-store.ts'
import { StorageError } from '../../storage/error.ts'
import { type BootFiles, findBootFiles } from '../pygrub/boot.ts'
import type { BootTerminal } from '../pygrub/menu-session.ts'
import { parseBootWishes } from '../pygrub/options.ts'
import { type DomainSpec, ERROR_FAIL, LibxlError } from './libxl.ts'
import { NetbootError, type NetbootSource, runPvnetboot } from './pvnetboot.ts'

export async function runBootloader(
  spec: DomainSpec, source: NetbootSource, disk: BlockStore | undefined, terminal: BootTerminal,
): Promise<BootFiles> {
  const { bootloader = '', kernel, ramdisk, commandLine } = spec
  const fail = (why: string, cause?: unknown): never => {
    terminal.write(`${why}\r\n`)
    throw new LibxlError(ERROR_FAIL, `${why}\ncannot (re-)build domain: ${ERROR_FAIL}`, { cause })
  }
  const name = bootloader.split('/').at(-1) ?? ''
  const words = spec.bootloaderArgs ?? []
  const limitBytes = spec.memoryKib * 1024
  if (name === 'pvnetboot' || name === 'xenpvnetboot') {
    try {
      return await runPvnetboot(source, words, { kernel, ramdisk, args: commandLine, limitBytes })
    } catch (cause) {
      if (!(cause instanceof NetbootError)) throw cause
      return fail(`bootloader failed - pvnetboot: ${cause.message}`, cause)
    }
  }
  if (!disk) return fail('cannot run bootloader with no boot disk')
  if (name !== 'pygrub') {
    return fail(`bootloader failed - cannot execute ${bootloader}: pygrub and pvnetboot are known`)
  }
  try {
    const wishes = parseBootWishes(words)
    return await findBootFiles(disk, {
      ...wishes, kernel: wishes.kernel ?? kernel, ramdisk: wishes.ramdisk ?? ramdisk,
      args: wishes.args ?? commandLine, limitBytes,
    }, terminal)
  } catch (cause) {
    if (!(cause instanceof StorageError || cause instanceof HostFileError)) throw cause
    return fail(`bootloader failed - pygrub: ${cause.message}`, cause)
  }
}
