/**
 * libxl's running of a boot loader: pygrub, which finds kernel, ramdisk and arguments on the first
 * of a domain's disks, in whatever image that is.
 *
 * `bootloader` may be pygrub's name or any path to it; it is ours that runs, in this process. What
 * the configuration names as kernel and ramdisk are then files of the guest's disk, and its command
 * line follows what the disk has.
 */
import { HostFileError } from '../../base/host-file.ts'
import type { BlockStore } from '../../storage/block-store.ts'
import { StorageError } from '../../storage/error.ts'
import { type BootFiles, findBootFiles } from '../pygrub/boot.ts'
import { parseBootWishes } from '../pygrub/options.ts'
import { type DomainSpec, ERROR_FAIL, LibxlError } from './libxl.ts'

export async function runBootloader(
  spec: DomainSpec, disk: BlockStore | undefined,
): Promise<BootFiles> {
  const { bootloader = '', kernel, ramdisk, commandLine } = spec
  const fail = (why: string, cause?: unknown): never => {
    throw new LibxlError(ERROR_FAIL, `${why}\ncannot (re-)build domain: ${ERROR_FAIL}`, { cause })
  }
  if (!disk) return fail('cannot run bootloader with no boot disk')
  if (bootloader.split('/').at(-1) !== 'pygrub') {
    return fail(`bootloader failed - cannot execute ${bootloader}: only pygrub is supported`)
  }
  try {
    const wishes = parseBootWishes(spec.bootloaderArgs ?? [])
    return await findBootFiles(disk, {
      ...wishes, kernel: wishes.kernel ?? kernel, ramdisk: wishes.ramdisk ?? ramdisk,
      args: wishes.args ?? commandLine, limitBytes: spec.memoryKib * 1024,
    })
  } catch (cause) {
    if (!(cause instanceof StorageError || cause instanceof HostFileError)) throw cause
    return fail(`bootloader failed - pygrub: ${cause.message}`, cause)
  }
}
