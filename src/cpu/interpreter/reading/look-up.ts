/**
 * The look-up of a memory access in the TLB, in line: in the table, in the page of an access before
 * it, or in the micro-TLB.
 */
import { i32, type Expression, type Local } from '../../../wasm/expression.ts'
import {
  addendOf, endsInPage, entryOf, farFrom, hits, inPageFrom, machineAddress, pageStart,
} from '../../mmu/lookup.ts'
import { microAddress, microHit } from '../../mmu/micro-tlb.ts'
import { type AddressSymbol, CORE, type Site } from '../parts.ts'
import type { Locals } from './value.ts'

/** An access that is looked up. */
export interface Sought {
  readonly linear: Local
  readonly width: number
  readonly write?: boolean
  /** It must be aligned. */
  readonly aligned?: boolean
  readonly symbol?: AddressSymbol | undefined
}

/** Where it is looked up. */
interface Place extends Pick<Site, 'target' | 'tables'> {
  readonly pool: Locals
  /** Locked accesses do not ask the micro-TLB. */
  readonly isLocked: boolean
}

type Hit = (machine: Expression) => void

/** Runs `hit` with the machine address when the TLB has the whole access, else `miss` with the
 * entry of the micro-TLB that a slow access is to set, or 0. */
export function writeLookUp(
  place: Place, sought: Sought, hit: Hit, miss: (entryToSet: number) => void,
): void {
  const { target, tables, pool } = place
  const { linear, width, symbol, write = false, aligned = false } = sought
  const bytes = width / 8
  const micro = microEntry(place, sought)
  if (micro !== undefined) {
    lookUpMicro(place, micro, linear, hit, miss)
    return
  }
  const known = symbol && !aligned && tables.reuse?.find(symbol, write)
  let noted: Local | undefined
  target.block((done) => {
    target.block((missed) => {
      const require = (condition: Expression): void =>
        target.brUnlikely(missed, i32.eqz(condition))
      if (known) {
        require(inPageFrom(known.first, linear, bytes))
        hit(i32.add(i32.wrap(linear), known.addend))
      } else {
        const entry = pool.take('i64')
        target.set(entry, entryOf(CORE, tables.base, linear, write))
        require(hits(linear, entry, aligned || bytes <= 8 ? bytes : 1))
        if (!aligned && bytes > 8) require(endsInPage(linear, bytes))
        noted = symbol && tables.reuse?.isWanted(symbol) ? pool.take('i64') : undefined
        hit(noted ? notePage(place, sought, entry, noted) : machineAddress(linear, entry))
      }
      target.br(done)
    })
    miss(0)
    if (noted) target.set(noted, farFrom(linear))
  })
}

function microEntry(
  { tables, isLocked }: Place, { symbol, width, write = false }: Sought,
): number | undefined {
  if (!symbol || isLocked || width > 128) return undefined
  return tables.reuse?.microEntry(symbol, write, width / 8)
}

/** The same by an entry of the micro-TLB. */
function lookUpMicro(
  { target, tables: { base } }: Place, entry: number, linear: Local, hit: Hit,
  miss: (entryToSet: number) => void,
): void {
  target.block((done) => {
    target.block((missed) => {
      target.brUnlikely(missed, i32.eqz(microHit(CORE, base, entry, linear)))
      hit(microAddress(CORE, base, entry, linear))
      target.br(done)
    })
    miss(entry)
  })
}

/** The machine address by an entry that hits, whose page is noted with its first address. */
function notePage(
  { target, tables, pool }: Place, { linear, write = false, symbol }: Sought, entry: Local,
  first: Local,
): Expression {
  const addend = pool.take('i32')
  tables.reuse!.note(symbol!, write, { first, addend })
  target.set(first, pageStart(linear))
  target.set(addend, addendOf(entry))
  return i32.add(i32.wrap(linear), addend)
}
