/**
 * xenolith-img convert, compare, map: what is in images.
 */
import { type BlockStore, type Extent, isZero } from '../../storage/block-store.ts'
import { openImage } from '../../storage/open.ts'
import { RawStore } from '../../storage/raw.ts'
import { createImage, parseOptions } from './create.ts'
import {
  formatNamed, type ImageCommand, type Invocation, outputOption, progressOption, refuse,
  showProgress, sourceFormat, wantsJson,
} from './world.ts'

const CHUNK_BYTES = 1 << 20
/** Runs of zeros of this size are not written. */
const SPARSE_BYTES = 4096
/** Chunks that are read and written at the same time. */
const IN_FLIGHT = 4

/** Calls `work` for each chunk of a disk, several at a time; how long a chunk is, `work` says. */
async function eachChunk(
  sizeBytes: number, invocation: Invocation, work: (at: number, length: number) => Promise<void>,
): Promise<void> {
  let next = 0
  let done = 0
  const worker = async (): Promise<void> => {
    while (next < sizeBytes) {
      const at = next
      const length = Math.min(CHUNK_BYTES, sizeBytes - at)
      next += length
      await work(at, length)
      done += length
      showProgress(invocation, done, sizeBytes)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
}

/** Reads a range, unless all of it is known to read as zeros. */
async function readData(
  store: BlockStore, at: number, length: number,
): Promise<Uint8Array | undefined> {
  const extent = await store.extent(at, length)
  if (extent.kind !== 'data' && extent.lengthBytes >= length) return undefined
  const bytes = new Uint8Array(length)
  await store.read(at, bytes)
  return bytes
}

/** Writes what is not zero to a disk that is. */
async function writeSparsely(store: BlockStore, at: number, bytes: Uint8Array): Promise<void> {
  for (let from = 0; from < bytes.length;) {
    let to = from
    const isDataAt = (i: number): boolean => !isZero(bytes.subarray(i, i + SPARSE_BYTES))
    while (to < bytes.length && isDataAt(to)) to = Math.min(to + SPARSE_BYTES, bytes.length)
    if (to > from) await store.write(at + from, bytes.subarray(from, to))
    from = to + SPARSE_BYTES
  }
}

export const convertCommand: ImageCommand = {
  name: 'convert',
  usage: 'convert [-p] [-f FORMAT] [-O FORMAT] [-o NAME=VALUE,...] SOURCE TARGET',
  summary: 'copies the disk of an image to a new image of any format',
  options: [
    sourceFormat, progressOption, { key: 'target', letter: 'O', value: true },
    { key: 'set', letter: 'o', value: true },
  ],
  operands: [2, 2],
  async run(invocation) {
    const { world, options, operands: [from = '', to = ''] } = invocation
    const format = formatNamed(options.get('target') ?? 'raw') ?? 'raw'
    const set = parseOptions(options.get('set'))
    if (set.has('backing_file')) refuse('convert makes images without backing files')
    const source = await openImage(
      world.host, from, { access: 'read', format: formatNamed(options.get('format')) })
    try {
      await createImage(world, { path: to, format, options: set, sizeBytes: source.sizeBytes })
      const target = await openImage(world.host, to, { access: 'write', format })
      try {
        await copy(invocation, source, target)
      } finally {
        await target.close()
      }
    } finally {
      await source.close()
    }
    return 0
  },
}

async function copy(
  invocation: Invocation, source: BlockStore, target: BlockStore,
): Promise<void> {
  // A block device has what was on it before.
  const isBlank = !(target instanceof RawStore && target.isDevice)
  await eachChunk(source.sizeBytes, invocation, async (at, length) => {
    const bytes = await readData(source, at, length)
    if (isBlank && bytes) await writeSparsely(target, at, bytes)
    if (isBlank) return
    if (!bytes || isZero(bytes)) await target.writeZeroes(at, length)
    else await target.write(at, bytes)
  })
}

export const compareCommand: ImageCommand = {
  name: 'compare',
  usage: 'compare [-p] [-s] [-f FORMAT] [-F FORMAT] FILE FILE',
  summary: 'says whether two images hold the same disk; exit code 1 if not',
  options: [
    sourceFormat, progressOption, { key: 'second', letter: 'F', value: true },
    { key: 'strict', letter: 's' },
  ],
  operands: [2, 2],
  async run(invocation) {
    const { world, options, operands: [first = '', second = ''] } = invocation
    const a = await openImage(
      world.host, first, { access: 'read', format: formatNamed(options.get('format')) })
    try {
      const b = await openImage(
        world.host, second, { access: 'read', format: formatNamed(options.get('second')) })
      try {
        return await compare(invocation, a, b)
      } finally {
        await b.close()
      }
    } finally {
      await a.close()
    }
  },
}

/** Same sizes, or only zeros beyond the smaller one; and the same bytes. */
async function compare(invocation: Invocation, a: BlockStore, b: BlockStore): Promise<number> {
  const { world, options } = invocation
  if (a.sizeBytes !== b.sizeBytes && options.has('strict')) {
    world.out(`The sizes differ: ${a.sizeBytes} and ${b.sizeBytes} bytes.\n`)
    return 1
  }
  const size = Math.max(a.sizeBytes, b.sizeBytes)
  let difference = Infinity
  const part = async (store: BlockStore, at: number, length: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(length)
    const there = Math.max(0, Math.min(length, store.sizeBytes - at))
    if (there > 0) bytes.set(await readData(store, at, there) ?? bytes.subarray(0, there))
    return bytes
  }
  await eachChunk(size, invocation, async (at, length) => {
    if (difference < at) return
    const [left, right] = await Promise.all([part(a, at, length), part(b, at, length)])
    const index = left.findIndex((byte, i) => byte !== right[i])
    if (index >= 0) difference = Math.min(difference, at + index)
  })
  if (difference < Infinity) {
    world.out(`The contents differ at byte ${difference}.\n`)
    return 1
  }
  world.out('The images are identical.\n')
  return 0
}

/** A run of a disk as `map` shows it, in the words of qemu-img's JSON. */
interface MapRun {
  start: number
  length: number
  readonly depth: number
  readonly present: boolean
  readonly zero: boolean
  readonly data: boolean
  readonly offset?: number
}

function runOf(start: number, extent: Extent): MapRun {
  return {
    start, length: extent.lengthBytes, depth: extent.depth, present: extent.kind !== 'absent',
    zero: extent.kind !== 'data', data: extent.kind === 'data',
    ...extent.offset === undefined ? {} : { offset: extent.offset },
  }
}

function continues(run: MapRun, next: MapRun): boolean {
  const sameKind = run.depth === next.depth && run.present === next.present &&
    run.zero === next.zero && run.data === next.data
  return sameKind && (run.offset === undefined
    ? next.offset === undefined : run.offset + run.length === next.offset)
}

/** The runs of a disk, as long as they can be. */
async function mapOf(store: BlockStore): Promise<MapRun[]> {
  const runs: MapRun[] = []
  for (let at = 0; at < store.sizeBytes;) {
    const run = runOf(at, await store.extent(at, store.sizeBytes - at))
    const last = runs.at(-1)
    if (last && continues(last, run)) last.length += run.length
    else runs.push(run)
    at += run.length
  }
  return runs
}

function columns(...cells: string[]): string {
  return cells.map((cell) => cell.padEnd(16)).join('')
}

export const mapCommand: ImageCommand = {
  name: 'map',
  usage: 'map [-f FORMAT] [--output=human|json] FILE',
  summary: 'shows where the disk\'s data is',
  options: [sourceFormat, outputOption],
  operands: [1, 1],
  async run({ world, options, operands: [path = ''] }) {
    const isJson = wantsJson(options)
    const store = await openImage(
      world.host, path, { access: 'read', format: formatNamed(options.get('format')) })
    try {
      const runs = await mapOf(store)
      if (isJson) {
        world.out(`${JSON.stringify(runs, null, 2)}\n`)
        return 0
      }
      world.out(`${columns('Offset', 'Length', 'Mapped to')}Depth\n`)
      for (const { start, length, offset, depth, data } of runs) {
        if (!data) continue
        const place = offset === undefined ? 'compressed' : `0x${offset.toString(16)}`
        const range = [start, length].map((n) => `0x${n.toString(16)}`)
        world.out(`${columns(...range, place)}${depth}\n`)
      }
      return 0
    } finally {
      await store.close()
    }
  },
}
