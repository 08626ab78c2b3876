/**
 * Accesses that cross from one page to another: a load or store in two parts while both pages are
 * memory, and byte by byte otherwise.
 */
import { call, globalGet, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { EFER } from '../../abi/x86/control.ts'
import { Stop } from '../core-memory.ts'
import {
  type AccessParts, contextWord, controlAt, FAULT, has, type MmuEnvironment, OUTSIDE,
} from './environment.ts'

const c32 = (value: number): Expression => i32.const(value)
const c64 = (value: number | bigint): Expression => i64.const(value)

export function offsetIn(linear: Expression): Expression {
  return i32.and(i32.wrap(linear), c32(0xfff))
}

/** Linear address of the page behind that of `linear`; outside long mode it wraps at 4 GiB. */
function setNextPage(f: FunctionBuilder, env: MmuEnvironment, next: Local, linear: Local): void {
  f.set(next, i64.and(i64.add(linear, c64(0x1000)), c64(~0xfff)))
  f.if(i32.eqz(has(contextWord(env, 'efer'), EFER.LMA)), () => {
    f.set(next, i64.and(next, c64(0xffff_ffffn)))
  })
}

/** The two pages of an access that crosses from one to the other. */
interface Halves {
  readonly first: Local
  readonly firstPlace: Local
  readonly second: Local
  readonly secondPlace: Local
}

/** Translates both pages; `failed` runs when one faults. */
export function emitHalves(
  f: FunctionBuilder, { env, translate }: AccessParts, linear: Local, access: Expression,
  failed: () => void,
): Halves {
  const next = f.local('i64')
  const half = (address: Local): [Local, Local] => {
    const machine = f.local('i64')
    const place = f.local('i64')
    f.set(machine, call(translate, address, access))
    f.if(i64.eq(machine, c64(FAULT)), failed)
    f.set(place, i64.load(env.core, c32(0), controlAt('accessAddress')))
    return [machine, place]
  }
  setNextPage(f, env, next, linear)
  const [first, firstPlace] = half(linear)
  const [second, secondPlace] = half(next)
  return { first, firstPlace, second, secondPlace }
}

/** Runs `body` for each byte of a crossing access with its machine address (or OUTSIDE) and its
 * guest-physical address. */
export function forEachByte(
  f: FunctionBuilder, linear: Local, halves: Halves, bytes: number,
  body: (index: Local, machine: Local, place: Local) => void,
): void {
  const index = f.local('i32')
  const machine = f.local('i64')
  const place = f.local('i64')
  const behind = f.local('i64')
  f.set(index, c32(0))
  f.loop((again) => {
    const position = i32.add(offsetIn(linear), index)
    f.if(i32.ltU(position, c32(0x1000)), () => {
      f.set(behind, i64.extendU(index))
      f.set(machine, halves.first)
      f.set(place, halves.firstPlace)
    }, () => {
      f.set(behind, i64.extendU(i32.sub(position, c32(0x1000))))
      f.set(machine, halves.second)
      f.set(place, halves.secondPlace)
    })
    f.set(place, i64.add(place, behind))
    f.if(i64.geS(machine, c64(0)), () => f.set(machine, i64.add(machine, behind)))
    body(index, machine, place)
    f.set(index, i32.add(index, c32(1)))
    f.brIf(again, i32.ltU(index, c32(bytes)))
  })
}

/** 1 when neither page of a crossing access is outside memory; FAULT was dealt with. */
export function bothAreMemory({ first, second }: Halves): Expression {
  return i64.geS(i64.or(first, second), c64(0))
}

/** What a crossing access of `width` bits reads: from the last eight bytes of one page and the
 * first eight of the other. */
export function joined(
  env: MmuEnvironment, linear: Local, { first, second }: Halves, width: number,
): Expression {
  const end = i32.or(i32.wrap(first), c32(0xff8))
  const lastBytes = i64.load(env.machine, i32.and(end, c32(~7)))
  // A shift counts modulo 64: 8 times the offset from the border, which is negative, and not 0.
  const bits = i64.shl(linear, c64(3))
  const low = i64.shrU(lastBytes, bits)
  const high = i64.shl(i64.load(env.machine, i32.wrap(second)), i64.sub(c64(0), bits))
  const value = i64.or(low, high)
  return width === 64 ? value : i64.and(value, c64((1n << BigInt(width)) - 1n))
}

/** Other threads may write the bytes around, so that these must be written alone. */
export function buildStorePiece(module: ModuleBuilder, env: MmuEnvironment): FunctionBuilder {
  const f = module.function({ parameters: ['i32', 'i64', 'i32'] })
  const [at, value, bytes] = f.parameters as [Local, Local, Local]
  for (const [size, kind] of [[4, 'i64As32'], [2, 'i64As16'], [1, 'i64As8']] as const) {
    f.if(has(bytes, size), () => {
      f.store(kind, env.machine, at, value)
      f.set(at, i32.add(at, c32(size)))
      f.set(value, i64.shrU(value, c64(size * 8)))
    })
  }
  return f
}

/** Stores the parts of a crossing access to their pages, and returns. */
export function emitCrossingStore(
  f: FunctionBuilder, { announce, storePiece }: AccessParts, bytes: number, halves: Halves,
  store: { linear: Local, value: Local, access: Expression },
): void {
  const { linear, value, access } = store
  const before = f.local('i32')
  const after = f.local('i32')
  f.set(before, i32.sub(c32(0x1000), offsetIn(linear)))
  f.set(after, i32.sub(c32(bytes), before))
  const pieces = [[halves.first, before], [halves.second, after]] as const
  for (const [machine, size] of pieces) {
    f.if(call(announce, i32.wrap(machine), size, access), () => f.return(c32(Stop.RETRY)))
  }
  f.call(storePiece, i32.wrap(halves.first), value, before)
  const rest = i64.shrU(value, i64.extendU(i32.shl(before, c32(3))))
  f.call(storePiece, i32.wrap(halves.second), rest, after)
  f.return(c32(0))
}

/** Stores a crossing access that reaches outside memory: there first. */
export function emitStoreBeyond(
  f: FunctionBuilder, { env, globals, announce }: AccessParts, bytes: number, halves: Halves,
  store: { linear: Local, value: Local, access: Expression }, mmioWrite: FunctionBuilder,
): void {
  const { linear, value, access } = store
  for (const machine of [halves.first, halves.second]) {
    f.if(i64.geS(machine, c64(0)), () => {
      f.if(call(announce, i32.wrap(machine), c32(1), access), () => f.return(c32(Stop.RETRY)))
    })
  }
  const byteAt = (index: Local): Expression =>
    i64.shrU(value, i64.shl(i64.extendU(index), c64(3)))
  forEachByte(f, linear, halves, bytes, (index, at, place) => {
    f.if(i64.eq(at, c64(OUTSIDE)), () => {
      f.drop(call(mmioWrite, place, c32(1), byteAt(index)))
      f.if(globalGet(globals.status, 'i32'), () => f.return(c32(Stop.MMIO_WRITE)))
    })
  })
  forEachByte(f, linear, halves, bytes, (index, at) => {
    f.if(i64.geS(at, c64(0)), () => f.store('i64As8', env.machine, i32.wrap(at), byteAt(index)))
  })
}
