/**
 * Kernel and ramdisk from a place on the network or the host: what Xen's pvnetboot does for
 * `bootloader="pvnetboot"`, with its options.
 *
 * A location is a URL (http, https, tftp, file), a folder of the host, or an image of a file system
 * (ISO 9660, ext, FAT). Names are looked for below it; without names, where installation media of
 * distributions have them. Left out: ftp and nfs. Sizes are bounded by the guest's memory.
 */
import { openFileSystem } from '../../storage/filesystem/open.ts'
import { Volume } from '../../storage/filesystem/volume.ts'
import { type ImageHost, openImage } from '../../storage/open.ts'
import { getopt, type Option } from '../cli/getopt.ts'
import type { BootFiles } from '../pygrub/boot.ts'

/** What cannot be fetched, in words. */
export class NetbootError extends Error {
  override readonly name = 'NetbootError'
}

export interface NetbootSource {
  readFile(path: string): Promise<Uint8Array>
  /** A file behind a URL, of at most so many bytes. */
  fetchFile(url: string, limitBytes: number): Promise<Uint8Array>
  readonly images: ImageHost
}

/** What the configuration says, which the options go before. */
export interface NetbootDefaults {
  readonly kernel: string | undefined
  readonly ramdisk: string | undefined
  readonly args: string
  readonly limitBytes: number
}

/** Where media have kernel and ramdisk, in the order in which they are tried. */
const USUAL: ReadonlyArray<readonly [kernel: string, ramdisk: string]> = [
  ['images/xen/vmlinuz', 'images/xen/initrd.img'],
  ['boot/i386/vmlinuz-xen', 'boot/i386/initrd-xen'],
  ['boot/x86_64/vmlinuz-xen', 'boot/x86_64/initrd-xen'],
  ['current/images/netboot/xen/vmlinuz', 'current/images/netboot/xen/initrd.gz'],
  ['images/pxeboot/vmlinuz', 'images/pxeboot/initrd.img'],
  ['isolinux/vmlinuz', 'isolinux/initrd.img'],
]

const value = (key: string): Option => ({ key, name: key, value: true })
const options: readonly Option[] = [
  value('location'), value('kernel'), value('ramdisk'), value('args'), value('output'),
  value('output-directory'), value('output-format'), { key: 'quiet', letter: 'q', name: 'quiet' },
]

/** Reads a file of a location. */
type Fetch = (name: string, limitBytes: number) => Promise<Uint8Array>

export async function runPvnetboot(
  source: NetbootSource, words: readonly string[], defaults: NetbootDefaults,
): Promise<BootFiles> {
  const parsed = getopt(words, options)
  if ('unknown' in parsed) throw new NetbootError(`unknown option '${parsed.unknown}'`)
  const of = (key: string): string | undefined => parsed.options.get(key) || undefined
  const location = of('location')
  const kernelName = of('kernel') ?? defaults.kernel
  const ramdiskName = of('ramdisk') ?? defaults.ramdisk
  if (location === undefined && kernelName === undefined) {
    throw new NetbootError('You should at least specify a location or kernel/ramdisk.')
  }
  const usual = location === undefined ? [] : USUAL
  const { limitBytes } = defaults
  const { fetch, close } = await openLocation(source, location)
  try {
    const kernel = await first(fetch, limitBytes,
      kernelName === undefined ? usual.map(([name]) => name) : [kernelName])
    if (kernel instanceof Error) {
      throw new NetbootError(`Cannot get kernel from location: ${location}: ${kernel.message}`)
    }
    const ramdisk = await first(fetch, limitBytes - kernel.length,
      ramdiskName === undefined ? usual.map(([, name]) => name) : [ramdiskName])
    if (ramdisk instanceof Error && ramdiskName !== undefined) {
      throw new NetbootError(`Cannot get file ${ramdiskName}: ${ramdisk.message}`)
    }
    return {
      kernel, ramdisk: ramdisk instanceof Error ? undefined : ramdisk,
      args: of('args') ?? defaults.args,
    }
  } finally {
    await close()
  }
}

/** The first file that can be had, or why the last could not. */
async function first(
  fetch: Fetch, limitBytes: number, names: readonly string[],
): Promise<Uint8Array | Error> {
  let why = new Error('no name is given')
  for (const name of names) {
    try {
      return await fetch(name, limitBytes)
    } catch (error) {
      why = error as Error
    }
  }
  return why
}

async function openLocation(
  source: NetbootSource, location: string | undefined,
): Promise<{ fetch: Fetch, close(): Promise<void> }> {
  const nothing = async (): Promise<void> => {}
  const scheme = /^([a-z+]+):/.exec(location ?? '')?.[1]
  if (scheme !== undefined && !['http', 'https', 'tftp', 'file'].includes(scheme)) {
    throw new NetbootError(`Unsupported location: ${location}`)
  }
  const path = location?.replace(/^file:\/\//, '')
  if (path !== undefined && (scheme === undefined || scheme === 'file')) {
    const image = await openMedium(source, path)
    if (image) return image
  }
  const base = path === undefined ? '' : `${path.replace(/\/+$/, '')}/`
  return {
    close: nothing,
    fetch: async (name, limitBytes) => {
      const whole = base === '' ? name : base + name.replace(/^\/+/, '')
      if (/^(https?|tftp):/.test(whole)) return source.fetchFile(whole, limitBytes)
      const bytes = await source.readFile(whole.replace(/^file:\/\//, ''))
      if (bytes.length > limitBytes) throw new NetbootError(`${whole} is too large for the guest`)
      return bytes
    },
  }
}

/** An image that is no folder, if there is one at `path`. */
async function openMedium(
  source: NetbootSource, path: string,
): Promise<{ fetch: Fetch, close(): Promise<void> } | undefined> {
  const store = await openImage(source.images, path, { access: 'read' }).catch(() => undefined)
  if (!store) return undefined
  try {
    const system = await openFileSystem(new Volume(store, 0))
    if (!system) throw new NetbootError(`${path} has no file system that is known`)
    return {
      fetch: (name, limitBytes) => system.readWhole(`/${name}`, limitBytes),
      close: () => store.close(),
    }
  } catch (error) {
    await store.close()
    throw error
  }
}
