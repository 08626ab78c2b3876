/**
 * A domain's image, planned from the files that its specification names, or that a boot loader
 * finds.
 */
import type { HostDecompressor } from '../../base/compression/formats.ts'
import type { BlockStore } from '../../storage/block-store.ts'
import { ImageError } from '../build/image-error.ts'
import { loadKernel } from '../build/kernel.ts'
import { type BootModule, type PvhImage, planPvhImage } from '../build/pvh-image.ts'
import { shimCommandLine, XEN_SHIM } from './pvshim.ts'
import { type DomainSpec, ERROR_FAIL, LibxlError } from './libxl.ts'
import type { BootTerminal } from '../pygrub/menu-session.ts'
import type { NetbootSource } from './pvnetboot.ts'

/** Where files come from, and how kernels are unpacked. */
export interface ImageSource extends NetbootSource {
  readonly decompressor: HostDecompressor
}

/** What goes into a domain at its start. */
interface Files {
  readonly name: string
  readonly kernel: Uint8Array
  readonly ramdisk?: Uint8Array | undefined
  readonly commandLine: string
}

/**
 * Reads kernel and ramdisk and lays them out; LibxlError when that cannot be. A boot loader finds
 * them on `bootDisk`, and may ask at `terminal`.
 */
export async function planImage(
  spec: DomainSpec, source: ImageSource, bootDisk: BlockStore | undefined, terminal: BootTerminal,
): Promise<PvhImage> {
  if (spec.memoryKib < 1024) throw new LibxlError(ERROR_FAIL, tooLittle(spec))
  const files = spec.bootloader === undefined
    ? await filesOf(spec, source) : await filesOfBootloader(spec, source, bootDisk, terminal)
  const { name, kernel, commandLine, modules } = await startedWith(spec, source, files)
  try {
    return planPvhImage({
      kernel: loadKernel(kernel, source.decompressor, name), modules, commandLine,
      memoryBytes: spec.maxMemoryKib * 1024, maxVcpus: spec.maxVcpus, onlineVcpus: spec.vcpus,
      vnodes: spec.vnuma,
    })
  } catch (cause) {
    if (cause instanceof ImageError) throw new LibxlError(ERROR_FAIL, cause.message, { cause })
    throw cause
  }
}

/** The kernel and its modules: with a shim, the guest's own kernel is the first of these. */
async function startedWith(
  { pvshim }: DomainSpec, source: ImageSource, { ramdisk, ...guest }: Files,
): Promise<Omit<Files, 'ramdisk'> & { readonly modules: readonly BootModule[] }> {
  const modules: readonly BootModule[] = ramdisk ? [{ bytes: ramdisk }] : []
  if (!pvshim) return { ...guest, modules }
  const name = pvshim.path ?? XEN_SHIM
  return {
    name, kernel: await read(source, name, 'PV shim'), commandLine: shimCommandLine(pvshim),
    modules: [{ bytes: guest.kernel, commandLine: guest.commandLine }, ...modules],
  }
}

async function filesOf(spec: DomainSpec, source: ImageSource): Promise<Files> {
  const { kernel: name = '', ramdisk, commandLine } = spec
  return {
    name, kernel: await read(source, name, 'kernel'), commandLine,
    ramdisk: ramdisk ? await read(source, ramdisk, 'ramdisk') : undefined,
  }
}

async function filesOfBootloader(
  spec: DomainSpec, source: ImageSource, disk: BlockStore | undefined, terminal: BootTerminal,
): Promise<Files> {
  // Loaded when it is asked for: with file systems it is a twentieth of the program.
  const { runBootloader } = await import('./bootloader.ts')
  const { kernel, ramdisk, args } = await runBootloader(spec, source, disk, terminal)
  return { name: 'the boot loader\'s kernel', kernel, ramdisk, commandLine: args }
}

async function read(source: ImageSource, path: string, what: string): Promise<Uint8Array> {
  try {
    return await source.readFile(path)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new LibxlError(ERROR_FAIL, `failed to open ${what} '${path}': ${why}`, { cause })
  }
}

function tooLittle(spec: DomainSpec): string {
  return `${spec.memoryKib} KB of memory are too few for a domain: Out of memory`
}
