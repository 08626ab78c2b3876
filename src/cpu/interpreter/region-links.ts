/**
 * Where compiled regions are entered, by the machine address of the code: what going on from one
 * region to the next looks at first, in one line of the host's cache. The record and its heat,
 * which say the same, lie in places of their own, each far from those of other records.
 *
 * A table in core memory with one place for each address. Going on puts in what it has found out
 * (going-on.ts), with how often it may serve until the record is hot; whoever changes where an
 * address enters a region takes it out.
 */
import { i32, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { struct } from '../../base/layout/struct.ts'
import { u32 } from '../../base/layout/scalar.ts'
import { CODE_MODE_LONG, coreMap, REGION_LINK_BITS } from '../core-memory.ts'
import { CORE } from './parts.ts'

const RegionLink = struct('region link', {
  machine: u32,
  /** The region's function in the table of handlers, and what it is called with. */
  region: u32,
  entry: u32,
  /** How often the link serves yet; 0: it is none. */
  left: u32,
})

const at = {
  machine: coreMap.regionLinks + RegionLink.offsets.machine,
  region: coreMap.regionLinks + RegionLink.offsets.region,
  entry: coreMap.regionLinks + RegionLink.offsets.entry,
  left: coreMap.regionLinks + RegionLink.offsets.left,
}
const LINK_SHIFT = Math.log2(RegionLink.size)
/** 2^32 divided by the golden ratio. */
const SPREAD = 0x9e3779b1

/** Where the link of an address lies for code of a mode, from the start of the table. Links of one
 * address for two modes lie side by side, and so differ from those of all others. */
export function linkOf(machine: Expression, codeMode: number): Expression {
  const mixed = i32.mul(machine, i32.const(SPREAD))
  const place = i32.shl(i32.shrU(mixed, i32.const(32 - REGION_LINK_BITS)), i32.const(LINK_SHIFT))
  return codeMode === CODE_MODE_LONG ? place : i32.xor(place, i32.const(RegionLink.size))
}

/** Branches to `missed` unless the link at `link` is that of `machine`. `left` is used. */
export function emitUseLink(
  f: FunctionBuilder, link: Local, machine: Expression, left: Local, missed: Label,
): void {
  f.brUnlikely(missed, i32.ne(i32.load(CORE, link, at.machine), machine))
  f.set(left, i32.load(CORE, link, at.left))
  f.brUnlikely(missed, i32.eqz(left))
  f.store('i32', CORE, link, i32.sub(left, i32.const(1)), at.left)
}

/** -> i32: the function that a link leads to, and what it is called with. */
export function linkedRegion(link: Local): Expression {
  return i32.load(CORE, link, at.region)
}

export function linkedEntry(link: Local): Expression {
  return i32.load(CORE, link, at.entry)
}

/** Whether the link at `link` is one of `machine` that serves no more. */
export function isUsedUp(link: Local, machine: Expression): Expression {
  return i32.and(i32.eq(i32.load(CORE, link, at.machine), machine),
    i32.eqz(i32.load(CORE, link, at.left)))
}

/** Puts in a link that serves `left` times. */
export function emitLink(
  f: FunctionBuilder, link: Local,
  to: { machine: Expression, region: Expression, entry: Expression, left: Expression },
): void {
  f.store('i32', CORE, link, to.machine, at.machine)
  f.store('i32', CORE, link, to.region, at.region)
  f.store('i32', CORE, link, to.entry, at.entry)
  f.store('i32', CORE, link, to.left, at.left)
}

/** The table, as TypeScript sees it. */
export class RegionLinks {
  readonly #words: Uint32Array

  constructor(core: ArrayBuffer) {
    this.#words = new Uint32Array(core, coreMap.regionLinks,
      RegionLink.size / 4 << REGION_LINK_BITS)
  }

  /** From now on an address leads where its record says. */
  forget(machine: number): void {
    const words = RegionLink.size / 4
    const place = (Math.imul(machine, SPREAD) >>> 32 - REGION_LINK_BITS) * words
    for (const each of [place, place ^ words]) {
      if (this.#words[each] === machine) this.#words.fill(0, each, each + words)
    }
  }
}
