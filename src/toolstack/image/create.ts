/**
 * xenolith-img create: new images, alone or on top of others.
 */
import type { HostFile } from '../../base/host-file.ts'
import type { ImageFormat } from '../../storage/block-store.ts'
import { StorageError } from '../../storage/error.ts'
import { openImage } from '../../storage/open.ts'
import { createQcow2, planQcow2 } from '../../storage/qcow2/create.ts'
import { createVhd, type VhdParent } from '../../storage/vhd/create.ts'
import { MAX_VHD_BYTES } from '../../storage/vhd/format.ts'
import { VhdStore } from '../../storage/vhd/store.ts'
import { parseSize } from './sizes.ts'
import { formatNamed, type ImageCommand, type ImageWorld, refuse } from './world.ts'

export interface NewImage {
  readonly path: string
  readonly format: ImageFormat
  /** That of the backing file, where it is not given. */
  readonly sizeBytes?: number
  readonly backingFile?: string | undefined
  readonly backingFormat?: ImageFormat | undefined
  /** As `-o` has them. */
  readonly options: ReadonlyMap<string, string>
}

const KNOWN_OPTIONS: Readonly<Record<ImageFormat, readonly string[]>> = {
  raw: [],
  qcow2: ['cluster_size', 'compat', 'refcount_bits', 'lazy_refcounts', 'backing_file',
    'backing_fmt'],
  vpc: ['subformat', 'backing_file'],
}

/** `a=1,b=2` as a map. */
export function parseOptions(text: string | undefined): Map<string, string> {
  const options = new Map<string, string>()
  for (const part of text ? text.split(',') : []) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(part) ?? []
    if (key === undefined || value === undefined) refuse(`'${part}' is not of the form name=value`)
    else options.set(key, value)
  }
  return options
}

function oneOf<T>(
  key: string, value: string | undefined, values: Record<string, T>,
): T | undefined {
  if (value === undefined) return undefined
  if (!Object.hasOwn(values, value)) {
    refuse(`${key} is one of ${Object.keys(values).join(', ')}, not '${value}'`)
  }
  return values[value]
}

/** What is known of a backing file before there is an image on top of it. */
interface Backing {
  readonly sizeBytes: number
  readonly format: ImageFormat
  readonly parent: VhdParent | undefined
}

async function backingOf(world: ImageWorld, image: NewImage): Promise<Backing | undefined> {
  const { backingFile, backingFormat } = image
  if (backingFile === undefined) return undefined
  const path = world.host.files.resolve(image.path, backingFile)
  const store = await openImage(world.host, path, { access: 'read', format: backingFormat })
  try {
    if (backingFormat === undefined && store.format === 'raw') {
      refuse(`${path}: its format is not known; say -F raw if it is raw`)
    }
    const parent = store instanceof VhdStore ? {
      path: backingFile, uniqueId: store.image.uniqueId(),
      timeStamp: store.image.footer.time_stamp,
    } : { path: backingFile, uniqueId: new Uint8Array(16), timeStamp: 0 }
    return { sizeBytes: store.sizeBytes, format: store.format, parent }
  } finally {
    await store.close()
  }
}

/** Makes an image; everything is checked before the file is touched. Its size. */
export async function createImage(world: ImageWorld, image: NewImage): Promise<number> {
  const { options, format } = image
  for (const key of options.keys()) {
    if (!KNOWN_OPTIONS[format].includes(key)) refuse(`${format} images have no option '${key}'`)
  }
  const backing = await backingOf(world, image)
  const sizeBytes = image.sizeBytes ?? backing?.sizeBytes
  if (sizeBytes === undefined) return refuse('an image without backing file needs a size')
  const fill = fillerOf(world, image, sizeBytes, backing)
  const file = await world.host.files.create(image.path)
  try {
    await fill(file)
  } finally {
    await file.close()
  }
  return sizeBytes
}

/** What fills the empty file, with everything checked. */
function fillerOf(
  world: ImageWorld, image: NewImage, sizeBytes: number, backing: Backing | undefined,
): (file: HostFile) => Promise<void> {
  const { options, format } = image
  switch (format) {
    case 'raw':
      if (backing) refuse('raw images have no backing file')
      return async (file) => {
        if (!file.isDevice) await file.truncate(sizeBytes)
        else if (file.sizeBytes < sizeBytes) refuse(`${file.path}: the device is too small`)
      }
    case 'qcow2': {
      const version = oneOf('compat', options.get('compat'),
        { '0.10': 2, v2: 2, '1.1': 3, v3: 3 } as const)
      const lazy = oneOf('lazy_refcounts', options.get('lazy_refcounts'), { on: true, off: false })
      const clusters = options.get('cluster_size')
      const bits = options.get('refcount_bits')
      const wish = {
        sizeBytes,
        ...version === undefined ? {} : { version },
        ...lazy === undefined ? {} : { lazyRefcounts: lazy },
        ...clusters === undefined ? {} : { clusterBytes: parseSize(clusters) },
        ...bits === undefined ? {} : { refcountBits: Number(bits) },
        ...backing && image.backingFile !== undefined
          ? { backingFile: image.backingFile, backingFormat: backing.format } : {},
      }
      planQcow2(wish)
      return (file) => createQcow2(file, wish)
    }
    case 'vpc': {
      const fixed = oneOf('subformat', options.get('subformat'), { fixed: true, dynamic: false })
      if (fixed && backing) refuse('a fixed VHD has no backing file')
      if (sizeBytes > MAX_VHD_BYTES) throw new StorageError('invalid', 'a VHD has at most 2040 GiB')
      return (file) => createVhd(file, {
        sizeBytes, fixed: fixed ?? false, nowMs: world.nowMs(), uniqueId: world.randomBytes(16),
        ...backing?.parent ? { parent: backing.parent } : {},
      })
    }
  }
}

export const createCommand: ImageCommand = {
  name: 'create',
  usage: 'create [-f FORMAT] [-b BACKING [-F FORMAT]] [-o NAME=VALUE,...] FILE [SIZE]',
  summary: 'makes an image',
  options: [
    { key: 'format', letter: 'f', value: true }, { key: 'backing', letter: 'b', value: true },
    { key: 'backingFormat', letter: 'F', value: true }, { key: 'set', letter: 'o', value: true },
    { key: 'quiet', letter: 'q' },
  ],
  operands: [1, 2],
  async run({ world, options, operands: [path = '', size] }) {
    const format = formatNamed(options.get('format') ?? 'raw') ?? 'raw'
    const set = parseOptions(options.get('set'))
    const sizeBytes = await createImage(world, {
      path, format, options: set,
      backingFile: options.get('backing') ?? set.get('backing_file'),
      backingFormat: formatNamed(options.get('backingFormat') ?? set.get('backing_fmt')),
      ...size === undefined ? {} : { sizeBytes: parseSize(size) },
    })
    if (!options.has('quiet')) world.out(`${path}: ${format}, ${sizeBytes} bytes\n`)
    return 0
  },
}
