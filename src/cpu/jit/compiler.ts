/**
 * What a compiler of regions is asked for and answers, so that it may be another thread; and the
 * compiling itself.
 *
 * A request carries the bytes that a region was discovered in: the guest may change its code
 * meanwhile, and the core that asked then drops the answer.
 */
import type { Decode } from '../../isa/decode/decoder.ts'
import { globalGet } from '../../wasm/expression.ts'
import { codeModeOf } from '../interpreter/code-mode.ts'
import { buildWithParts, type MemorySizes } from '../interpreter/engine-module.ts'
import { type Block, type BlockEnd, type Region } from './region.ts'
import type { Without } from './features.ts'
import { FlagWriters } from './flag-writers.ts'
import type { RegionShape } from './shape.ts'
import { SlowCalls } from './slow-calls.ts'
import { SlowFloats } from './slow-floats.ts'
import { translate } from './translate.ts'

/** A region as data that another thread can be sent. */
export interface PackedRegion {
  /** The core's number for it. */
  readonly number: number
  readonly shape: RegionShape
  /** Where its blocks lead. */
  readonly ends: readonly BlockEnd[]
}

export interface CompileRequest {
  readonly sizes: MemorySizes
  readonly regions: readonly PackedRegion[]
  readonly without?: Without
}

/** Asks for a module that was kept. */
export interface LoadRequest {
  readonly name: string
}

/** A module of functions `region0`, `region1`, ... */
export interface CompiledRegions {
  readonly kind: 'compiled'
  readonly module: WebAssembly.Module
  /** The numbers of the regions that were asked for. */
  readonly numbers: readonly number[]
  /** Size of the module. */
  readonly bytes: number
  /** Under which it is kept beyond this process, if it is. */
  readonly name?: string
}

/** A module that was kept, or that it is not to be had any more. */
export interface LoadedRegions {
  readonly kind: 'loaded'
  readonly name: string
  readonly module?: WebAssembly.Module
  readonly bytes: number
}

/** What was compiled for another core. */
export interface SharedRegions {
  readonly kind: 'shared'
  readonly module: WebAssembly.Module
  readonly shapes: readonly RegionShape[]
  readonly bytes: number
  readonly name?: string
}

export type CompilerAnswer = CompiledRegions | LoadedRegions | SharedRegions

/** Compiles for a core. What it answers comes in any order, and may never come. */
export interface RegionCompiler {
  /** False once it compiles no more. */
  readonly works: boolean
  request(request: CompileRequest): void
  load(request: LoadRequest): void
  /** An answer that has come, or news of other cores. */
  take(): CompilerAnswer | undefined
}

/** What the code is like that a region was made of: its bytes and the keys of its entries, by
 * offset; and whether it was looked for beyond the entries of others. */
interface PackedCode {
  readonly isWide: boolean
  byteAt(offset: number): number
  keyAt(offset: number): number
}

export function pack(region: Region, number: number, code: PackedCode): PackedRegion {
  const bytes: number[] = []
  const blocks = new Int32Array(region.blocks.length * 2)
  region.blocks.forEach(({ offset, instructions }, block) => {
    const last = instructions.at(-1)
    const end = last ? last.offset + last.instruction.length : offset
    for (let at = offset; at < end; at++) bytes.push(code.byteAt(at))
    blocks.set([offset, bytes.length], block * 2)
  })
  const entries = Int32Array.from(region.entries)
  const keys = entries.map((block) => code.keyAt(region.blocks[block]!.offset))
  return {
    number,
    shape: {
      codeMode: region.codeMode, blocks, bytes: Uint8Array.from(bytes), entries, keys,
      pages: Int32Array.from(region.pages), isWide: code.isWide,
    },
    ends: region.blocks.map((block) => block.end),
  }
}

function unpack({ shape, ends }: PackedRegion, decode: Decode): Region {
  let at = 0
  const mode = codeModeOf(shape.codeMode)
  const blocks = ends.map((leadsTo, block): Block => {
    const start = at
    const [offset, end] = [shape.blocks[block * 2]!, shape.blocks[block * 2 + 1]!]
    const instructions = []
    while (at < end) {
      const instruction = decode(shape.bytes, mode, at)
      if (typeof instruction === 'string') throw new Error('a region has code that is none')
      instructions.push({ instruction, offset: offset + at - start })
      at += instruction.length
    }
    return { offset, instructions, end: leadsTo }
  })
  const { codeMode, entries, pages } = shape
  return { codeMode, blocks, entries: [...entries], pages: [...pages] }
}

/** The module of some regions. Where they are it is told in globals: the machine address of each
 * page that is jumped to. */
export function buildRegions(request: CompileRequest, decode: Decode): Uint8Array<ArrayBuffer> {
  const { regions, sizes, without = [] } = request
  return buildWithParts(sizes, (module, parts) => {
    const callees = {
      parts, slow: new SlowCalls(module, parts), slowFloats: new SlowFloats(module, parts),
      flagWriters: new FlagWriters(module), without,
    }
    regions.forEach((packed, index) => {
      const globals = new Map<number, number>()
      const globalOf = (page: number): number => {
        const known = globals.get(page)
        if (known !== undefined) return known
        const global = module.global('i32', NO_PAGE)
        module.exportGlobal(pageName(index, page), global)
        globals.set(page, global)
        return global
      }
      const f = module.function({ parameters: ['i32'], result: 'i32' })
      translate(callees, f, unpack(packed, decode), {
        machineOf: (page) => globalGet(globalOf(page), 'i32'),
      })
      module.exportFunction(functionName(index), f)
    })
  })
}

/** The machine address of no page. */
const NO_PAGE = 1

export function functionName(index: number): string {
  return `region${index}`
}

/** The name of the global that is the machine address of a page of a region. */
export function pageName(index: number, page: number): string {
  return `page${index}.${page}`
}

/** Compiles when asked. */
export class ImmediateCompiler implements RegionCompiler {
  readonly works = true
  readonly #decode: Decode
  readonly #answers: CompilerAnswer[] = []

  constructor(decode: Decode) {
    this.#decode = decode
  }

  request(request: CompileRequest): void {
    const bytes = buildRegions(request, this.#decode)
    this.#answers.push({
      kind: 'compiled', module: new WebAssembly.Module(bytes), bytes: bytes.length,
      numbers: request.regions.map(({ number }) => number),
    })
  }

  /** It keeps nothing. */
  load({ name }: LoadRequest): void {
    this.#answers.push({ kind: 'loaded', name, bytes: 0 })
  }

  take(): CompilerAnswer | undefined {
    return this.#answers.shift()
  }
}
