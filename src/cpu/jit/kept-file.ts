/**
 * A module and the shapes of its regions as bytes that can be kept: all numbers are 32-bit words,
 * in the byte order of the machine.
 *
 *   words of shapes, then for each: numbers of blocks, entries, pages and bytes, 1 if it is wide,
 *   the mode of its code; blocks (two words each), entries, their keys, pages; the bytes, up to a
 *   whole word;
 *   then the module
 */
import type { RegionShape } from './shape.ts'

export interface KeptModule {
  readonly shapes: readonly RegionShape[]
  readonly module: Uint8Array
}

const COUNTS = 6
const WORD = 4

function wordsOf({ blocks, entries, pages, bytes }: RegionShape): number {
  return COUNTS + blocks.length + entries.length * 2 + pages.length + Math.ceil(bytes.length / WORD)
}

export function encodeKept({ shapes, module }: KeptModule): Uint8Array {
  const words = shapes.reduce((sum, shape) => sum + wordsOf(shape), 1)
  const out = new Uint8Array(words * WORD + module.length)
  const view = new Int32Array(out.buffer, 0, words)
  view[0] = words
  let at = 1
  for (const { codeMode, blocks, entries, keys, pages, bytes, isWide } of shapes) {
    view.set([blocks.length, entries.length, pages.length, bytes.length, isWide ? 1 : 0, codeMode],
      at)
    at += COUNTS
    for (const list of [blocks, entries, keys, pages]) {
      view.set(list, at)
      at += list.length
    }
    out.set(bytes, at * WORD)
    at += Math.ceil(bytes.length / WORD)
  }
  out.set(module, words * WORD)
  return out
}

/** The shapes of what encodeKept wrote. */
export function shapesOfKept(content: Uint8Array): RegionShape[] {
  const words = wordCount(content)
  // A copy, which is aligned and does not hold the module.
  const copy = Uint8Array.from(content.subarray(0, words * WORD))
  const view = new Int32Array(copy.buffer, 0, words)
  const shapes: RegionShape[] = []
  for (let at = 1; at < words;) {
    const [blocks, entries, pages, bytes, isWide, codeMode] =
      [...view.subarray(at, at + COUNTS)] as [number, number, number, number, number, number]
    at += COUNTS
    const list = (length: number): Int32Array => view.subarray(at, at += length)
    shapes.push({
      codeMode,
      blocks: list(blocks), entries: list(entries), keys: list(entries), pages: list(pages),
      bytes: copy.subarray(at * WORD, at * WORD + bytes), isWide: isWide !== 0,
    })
    at += Math.ceil(bytes / WORD)
  }
  return shapes
}

/** The module of what encodeKept wrote. */
export function moduleOfKept(content: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(content.subarray(wordCount(content) * WORD))
}

function wordCount(content: Uint8Array): number {
  return new DataView(content.buffer, content.byteOffset).getInt32(0, true)
}
