/**
 * Which TLB entries for stores lead to a machine frame: two places for each frame, with the
 * addresses of entries that were filled for it since the last time they were emptied.
 *
 * An entry at such an address may serve another page meanwhile, or none. Frames with more entries
 * than that are marked, and theirs are sought in the logs of all sets.
 */
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { coreMap, TLB_ENTRIES } from '../core-memory.ts'
import type { MmuEnvironment } from './environment.ts'
import { emptyEntry, machineAddress, pageOf } from './lookup.ts'
import { emitEmptyMicro } from './micro-tlb.ts'
import { forEachLogged, forEachUsedSet, setWord } from './spaces.ts'

const PLACE_SHIFT = 3
const places = [coreMap.storeEntries, coreMap.storeEntries + 4] as const
/** In the second place: there are more entries. No entry has that address. */
const MORE = 1

function placesOf(machine: Expression): Expression {
  return i32.shl(i32.shrU(machine, i32.const(12)), i32.const(PLACE_SHIFT))
}

/** Notes that the entry at address `at`, which is filled, leads to a frame. */
export function emitNoteEntry(
  f: FunctionBuilder, env: MmuEnvironment, machine: Local, at: Local,
): void {
  const [, second] = places
  const frame = f.local('i32')
  const known = f.local('i32')
  const put = (place: number, entry: Expression): void =>
    f.store('i32', env.core, frame, entry, place)
  f.set(frame, placesOf(machine))
  f.block((done) => {
    for (const place of places) {
      f.set(known, i32.load(env.core, frame, place))
      f.brIf(done, i32.or(i32.eq(known, at), i32.eq(known, i32.const(MORE))))
      f.if(i32.eqz(leadsTo(env, known, machine)), () => {
        put(place, at)
        f.br(done)
      })
    }
    put(second, i32.const(MORE))
  })
}

/** Empties the entries that lead to a frame. */
export function emitEmptyStores(f: FunctionBuilder, env: MmuEnvironment, machine: Local): void {
  const [first, second] = places
  const frame = f.local('i32')
  const at = f.local('i32')
  forEachUsedSet(f, env, (set) => emitEmptyMicro(f, env.core, setWord(env, set, 'tables')))
  f.set(frame, placesOf(machine))
  f.if(i32.eq(i32.load(env.core, frame, second), i32.const(MORE)), () => emptyAll(f, env, machine),
    () => {
      for (const place of places) {
        f.set(at, i32.load(env.core, frame, place))
        f.if(leadsTo(env, at, machine), () =>
          f.store('i64', env.core, at, emptyEntry(indexOf(at))))
      }
    })
  f.store('i64', env.core, frame, i64.const(0), first)
}

function emptyAll(f: FunctionBuilder, env: MmuEnvironment, machine: Local): void {
  forEachUsedSet(f, env, (set) => forEachLogged(f, env, set, (word, at) => {
    f.if(i32.and(word, i32.const(TLB_ENTRIES)), () => {
      f.if(leadsTo(env, at, machine), () => f.store('i64', env.core, at, emptyEntry(word)))
    })
  }))
}

/** The index in its table of the entry at an address. */
function indexOf(at: Expression): Expression {
  return i32.and(i32.shrU(at, i32.const(3)), i32.const(TLB_ENTRIES - 1))
}

/** -> i32: 1 when the entry at an address leads to a frame; perhaps also when it is empty. */
function leadsTo(env: MmuEnvironment, at: Local, machine: Local): Expression {
  const entry = i64.load(env.core, at)
  const other = i32.xor(machineAddress(pageOf(entry, indexOf(at)), entry), machine)
  return i32.and(i32.ne(at, i32.const(0)), i32.eqz(i32.and(other, i32.const(-0x1000))))
}
