/**
 * Where the blocks of an ext inode are: extents, or direct and indirect blocks.
 */
import { StorageError } from '../error.ts'
import { viewOf, type Volume } from './volume.ts'

/** Blocks that follow one another on the disk; `physical` is 0 where they are a hole. */
export interface BlockRun {
  readonly physical: number
  readonly count: number
}

const EXTENT_MAGIC = 0xf30a
const EXTENT_BYTES = 12
const MAX_DEPTH = 5
/** A longer extent is one of blocks that are allocated and hold nothing yet. */
const MAX_WRITTEN = 32768
const DIRECT = 12

const corrupt = (message: string): StorageError => new StorageError('corrupt', `ext: ${message}`)

export class BlockMap {
  readonly #volume: Volume
  readonly #blockBytes: number

  constructor(volume: Volume, blockBytes: number) {
    this.#volume = volume
    this.#blockBytes = blockBytes
  }

  /** The run at `block` of at most `wanted` blocks, by the extent tree whose root is given. */
  async extentRun(root: Uint8Array, block: number, wanted: number): Promise<BlockRun> {
    let node = root
    let end = Infinity
    for (let level = 0; level <= MAX_DEPTH; level++) {
      const view = viewOf(node)
      const count = view.getUint16(2, true)
      if (view.getUint16(0, true) !== EXTENT_MAGIC) throw corrupt('a node of an extent tree')
      if (count > Math.floor(node.length / EXTENT_BYTES) - 1) throw corrupt('extents')
      const { index, next } = findLast(view, count, block)
      end = Math.min(end, next)
      const hole = { physical: 0, count: Math.min(wanted, end - block) }
      if (index < 0) return hole
      const at = (index + 1) * EXTENT_BYTES
      if (view.getUint16(6, true) === 0) {
        return leafRun(view, at, block, wanted) ?? hole
      }
      const child = view.getUint32(at + 4, true) + view.getUint16(at + 8, true) * 2 ** 32
      node = await this.#volume.read(child * this.#blockBytes, this.#blockBytes)
    }
    throw corrupt('an extent tree is too deep')
  }

  /** The same by the fifteen block numbers of an older inode. */
  async indirectRun(roots: Uint8Array, block: number, wanted: number): Promise<BlockRun> {
    const perBlock = this.#blockBytes / 4
    let rest = block
    if (rest < DIRECT) return runIn(viewOf(roots), rest, Math.min(wanted, DIRECT - rest))
    rest -= DIRECT
    for (let depth = 1; depth <= 3; depth++) {
      const span = perBlock ** depth
      if (rest < span) {
        const root = viewOf(roots).getUint32((DIRECT + depth - 1) * 4, true)
        return this.#descend(root, depth, rest, wanted)
      }
      rest -= span
    }
    throw corrupt('a file is too long for its blocks')
  }

  async #descend(root: number, depth: number, rest: number, wanted: number): Promise<BlockRun> {
    const perBlock = this.#blockBytes / 4
    let table = root
    let offset = rest
    for (let level = depth; level > 0; level--) {
      const span = perBlock ** (level - 1)
      // Nothing of what is under this entry is there.
      if (table === 0) return { physical: 0, count: Math.min(wanted, span * perBlock - offset) }
      const view = viewOf(await this.#volume.read(table * this.#blockBytes, this.#blockBytes))
      const index = Math.floor(offset / span)
      if (level === 1) return runIn(view, index, Math.min(wanted, perBlock - index))
      table = view.getUint32(index * 4, true)
      offset %= span
    }
    throw corrupt('indirect blocks')
  }
}

/** The last entry of a node that begins at or before `block`, and where the next one begins. */
function findLast(view: DataView, count: number, block: number): { index: number, next: number } {
  let index = -1
  for (let i = 0; i < count; i++) {
    const first = view.getUint32((i + 1) * EXTENT_BYTES, true)
    if (first > block) return { index, next: first }
    index = i
  }
  return { index, next: Infinity }
}

function leafRun(
  view: DataView, at: number, block: number, wanted: number,
): BlockRun | undefined {
  const first = view.getUint32(at, true)
  const coded = view.getUint16(at + 4, true)
  const length = coded > MAX_WRITTEN ? coded - MAX_WRITTEN : coded
  if (block >= first + length) return undefined
  const count = Math.min(wanted, first + length - block)
  if (coded > MAX_WRITTEN) return { physical: 0, count }
  const start = view.getUint32(at + 8, true) + view.getUint16(at + 6, true) * 2 ** 32
  return { physical: start + block - first, count }
}

/** The run that begins at entry `index` of a table of block numbers. */
function runIn(view: DataView, index: number, most: number): BlockRun {
  const physical = view.getUint32(index * 4, true)
  let count = 1
  while (count < most) {
    const next = view.getUint32((index + count) * 4, true)
    if (next !== (physical === 0 ? 0 : physical + count)) break
    count += 1
  }
  return { physical, count }
}
