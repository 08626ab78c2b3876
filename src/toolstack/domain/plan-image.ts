/**
 * The image of a domain to be, planned from its kernel's and ramdisk's files.
 */
import { ImageError } from '../build/image-error.ts'
import { loadKernel } from '../build/kernel.ts'
import { type PvhImage, planPvhImage } from '../build/pvh-image.ts'
import { type DomainSpec, ERROR_FAIL, LibxlError } from './libxl.ts'
import type { ToolstackHost } from './local-libxl.ts'

export async function planImage(host: ToolstackHost, spec: DomainSpec): Promise<PvhImage> {
  if (spec.memoryKib < 1024) {
    throw new LibxlError(ERROR_FAIL,
      `${spec.memoryKib} KB of memory are too few for a domain: Out of memory`)
  }
  const kernelBytes = await read(host, spec.kernel, 'kernel')
  const ramdisk = spec.ramdisk ? await read(host, spec.ramdisk, 'ramdisk') : undefined
  try {
    const kernel = loadKernel(kernelBytes, host.decompressor, spec.kernel)
    return planPvhImage({
      kernel, ramdisk, commandLine: spec.commandLine, memoryBytes: spec.memoryKib * 1024,
      maxVcpus: spec.maxVcpus, onlineVcpus: spec.vcpus,
    })
  } catch (cause) {
    if (cause instanceof ImageError) throw new LibxlError(ERROR_FAIL, cause.message, { cause })
    throw cause
  }
}

async function read(host: ToolstackHost, path: string, what: string): Promise<Uint8Array> {
  try {
    return await host.readFile(path)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new LibxlError(ERROR_FAIL, `failed to open ${what} '${path}': ${why}`, { cause })
  }
}
