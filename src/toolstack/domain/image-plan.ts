/**
 * A domain's image, planned from the files that its specification names.
 */
import type { HostDecompressor } from '../../base/compression/formats.ts'
import { ImageError } from '../build/image-error.ts'
import { loadKernel } from '../build/kernel.ts'
import { type PvhImage, planPvhImage } from '../build/pvh-image.ts'
import { type DomainSpec, ERROR_FAIL, LibxlError } from './libxl.ts'

/** Where files come from, and how kernels are unpacked. */
export interface ImageSource {
  readFile(path: string): Promise<Uint8Array>
  readonly decompressor: HostDecompressor
}

/** Reads kernel and ramdisk and lays them out; LibxlError when that cannot be. */
export async function planImage(spec: DomainSpec, source: ImageSource): Promise<PvhImage> {
  if (spec.memoryKib < 1024) throw new LibxlError(ERROR_FAIL, tooLittle(spec))
  const kernelBytes = await read(source, spec.kernel, 'kernel')
  const ramdisk = spec.ramdisk ? await read(source, spec.ramdisk, 'ramdisk') : undefined
  try {
    const kernel = loadKernel(kernelBytes, source.decompressor, spec.kernel)
    return planPvhImage({
      kernel, ramdisk, commandLine: spec.commandLine, memoryBytes: spec.memoryKib * 1024,
      maxVcpus: spec.maxVcpus, onlineVcpus: spec.vcpus,
    })
  } catch (cause) {
    if (cause instanceof ImageError) throw new LibxlError(ERROR_FAIL, cause.message, { cause })
    throw cause
  }
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
