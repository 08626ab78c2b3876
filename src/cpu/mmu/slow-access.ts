/**
 * Loads and stores that the inline path misses: TLB misses, page crossings, MMIO, code frames.
 *
 * A slow access leaves in the global `status` how it ended: 0, or Stop.FAULT, MMIO_READ or
 * MMIO_WRITE with the particulars in the control block. MMIO is replayed: the instruction is
 * executed again after each answer, and its accesses to MMIO take the answers in their order, so
 * everything before the first unanswered access must be free of lasting effects. An access that
 * crosses pages reaches MMIO byte by byte, and before it changes memory.
 */
import {
  call, globalGet, i32, i64, simd, v128, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { EFER } from '../../abi/x86/control.ts'
import { MMIO_ANSWERS, Stop } from '../core-memory.ts'
import {
  Access, contextWord, controlAt, controlWord, FAULT, has, OUTSIDE, type MmuEnvironment,
  type MmuGlobals,
} from './environment.ts'
import { holdsCode } from './tlb.ts'
import { buildWatch, watchesAccesses } from './watch.ts'

/** Sizes of scalar accesses in bits. */
export type ScalarWidth = 8 | 16 | 32 | 64
export type AccessWidth = ScalarWidth | 128

export interface SlowFunctions {
  /** (linear i64, flags i32) -> the value, zero-extended; i64, or v128 for 128 bits. */
  readonly load: Readonly<Record<AccessWidth, FunctionBuilder>>
  /** (linear i64, value, flags i32) -> status i32. */
  readonly store: Readonly<Record<AccessWidth, FunctionBuilder>>
  /**
   * (linear i64, size i32, flags i32) -> i64, for `size` of 1 to 4096 bytes: the machine address if
   * all may be written there directly; OUTSIDE if loadSlow and storeSlow must do it (they will not
   * fault); FAULT with the status set.
   */
  readonly probeWrite: FunctionBuilder
}

interface Parts {
  readonly env: MmuEnvironment
  readonly globals: MmuGlobals
  readonly translate: FunctionBuilder
  /** (linear i64, bytes i32, access i32) -> i32: 1 when the access faults. */
  readonly watch: FunctionBuilder
}

const c32 = (value: number): Expression => i32.const(value)
const c64 = (value: number | bigint): Expression => i64.const(value)

const machineLoad = {
  8: i64.load8U, 16: i64.load16U, 32: i64.load32U, 64: i64.load, 128: v128.load,
} as const

const machineStore = {
  8: 'i64As8', 16: 'i64As16', 32: 'i64As32', 64: 'i64', 128: 'v128',
} as const

export function buildSlow(
  module: ModuleBuilder, given: Omit<Parts, 'watch'>,
): SlowFunctions {
  const parts = { ...given, watch: buildWatch(module, given.env, given.globals) }
  const mmioRead = buildMmioRead(module, parts)
  const mmioWrite = buildMmioWrite(module, parts)
  const probeWrite = buildProbeWrite(module, parts)
  const load = (width: ScalarWidth): FunctionBuilder => buildLoad(module, parts, width, mmioRead)
  const store = (width: ScalarWidth): FunctionBuilder =>
    buildStore(module, parts, width, mmioWrite)
  const load64 = load(64)
  const store64 = store(64)
  return {
    load: {
      8: load(8), 16: load(16), 32: load(32), 64: load64,
      128: buildLoad128(module, parts, load64),
    },
    store: {
      8: store(8), 16: store(16), 32: store(32), 64: store64,
      128: buildStore128(module, parts, store64, probeWrite),
    },
    probeWrite,
  }
}

/** Looks at an access, while anybody wants that; runs `failed` when it faults. */
function emitWatch(
  f: FunctionBuilder, { env, watch }: Parts, linear: Local, bytes: number, access: Expression,
  failed: () => void,
): void {
  f.if(watchesAccesses(env), () => f.if(call(watch, linear, c32(bytes), access), failed))
}

function offsetIn(linear: Expression): Expression {
  return i32.and(i32.wrap(linear), c32(0xfff))
}

/** Linear address of the page behind that of `linear`; outside long mode it wraps at 4 GiB. */
function setNextPage(f: FunctionBuilder, env: MmuEnvironment, next: Local, linear: Local): void {
  f.set(next, i64.and(i64.add(linear, c64(0x1000)), c64(~0xfff)))
  f.if(i32.eqz(has(contextWord(env, 'efer'), EFER.LMA)), () => {
    f.set(next, i64.and(next, c64(0xffff_ffffn)))
  })
}

/** Stops for a caller that must answer; `place` is the guest-physical address. */
function emitStop(
  f: FunctionBuilder, { env, globals }: Parts, stop: number, place: Expression, size: Expression,
): void {
  f.store('i64', env.core, c32(0), place, controlAt('accessAddress'))
  f.store('i32', env.core, c32(0), size, controlAt('accessSize'))
  f.store('i32', env.core, c32(0), c32(stop), controlAt('stop'))
  f.setGlobal(globals.status, c32(stop))
}

/** Runs `body` if the next access to MMIO has been answered, and counts it. */
function ifAnswered(
  f: FunctionBuilder, env: MmuEnvironment, body: (index: Expression) => void,
): void {
  const index = controlWord(env, 'replayIndex')
  f.if(i32.ltU(index, controlWord(env, 'replayCount')), () => {
    f.store('i32', env.core, c32(0), i32.add(index, c32(1)), controlAt('replayIndex'))
    body(i32.sub(index, c32(1)))
  })
}

/** (guest-physical address i64, size i32) -> the answer i64, cut to the size. */
function buildMmioRead(module: ModuleBuilder, parts: Parts): FunctionBuilder {
  const { env } = parts
  const f = module.function({ parameters: ['i64', 'i32'], result: 'i64' })
  const [place, size] = f.parameters as [Local, Local]
  ifAnswered(f, env, (index) => {
    const at = i32.shl(i32.and(index, c32(MMIO_ANSWERS - 1)), c32(3))
    const unused = i64.sub(c64(64), i64.shl(i64.extendU(size), c64(3)))
    const value = i64.load(env.core, at, controlAt('replayValues'))
    f.return(i64.shrU(i64.shl(value, unused), unused))
  })
  emitStop(f, parts, Stop.MMIO_READ, place, size)
  f.return(c64(0))
  return f
}

/** (guest-physical address i64, size i32, value i64) -> status i32. */
function buildMmioWrite(module: ModuleBuilder, parts: Parts): FunctionBuilder {
  const { env } = parts
  const f = module.function({ parameters: ['i64', 'i32', 'i64'], result: 'i32' })
  const [place, size, value] = f.parameters as [Local, Local, Local]
  ifAnswered(f, env, () => f.return(c32(0)))
  const unused = i64.sub(c64(64), i64.shl(i64.extendU(size), c64(3)))
  f.store('i64', env.core, c32(0), i64.shrU(i64.shl(value, unused), unused),
    controlAt('accessValue'))
  emitStop(f, parts, Stop.MMIO_WRITE, place, size)
  f.return(c32(Stop.MMIO_WRITE))
  return f
}

/** The two pages of an access that crosses from one to the other. */
interface Halves {
  readonly first: Local
  readonly firstPlace: Local
  readonly second: Local
  readonly secondPlace: Local
}

/** Translates both pages; `failed` runs when one faults. */
function emitHalves(
  f: FunctionBuilder, { env, translate }: Parts, linear: Local, access: Expression,
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
function forEachByte(
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

function buildLoad(
  module: ModuleBuilder, parts: Parts, width: ScalarWidth, mmioRead: FunctionBuilder,
): FunctionBuilder {
  const { env, globals, translate } = parts
  const bytes = width / 8
  const f = module.function({ parameters: ['i64', 'i32'], result: 'i64' })
  const [linear, flags] = f.parameters as [Local, Local]
  const machine = f.local('i64')
  const value = f.local('i64')
  f.setGlobal(globals.status, c32(0))
  emitWatch(f, parts, linear, bytes, flags, () => f.return(c64(0)))
  f.if(i32.leU(offsetIn(linear), c32(0x1000 - bytes)), () => {
    f.set(machine, call(translate, linear, flags))
    f.if(i64.geS(machine, c64(0)), () => {
      f.return(machineLoad[width](env.machine, i32.wrap(machine)))
    })
    f.if(i64.eq(machine, c64(FAULT)), () => f.return(c64(0)))
    const place = i64.load(env.core, c32(0), controlAt('accessAddress'))
    f.return(call(mmioRead, place, c32(bytes)))
  })
  if (bytes === 1) return f
  const halves = emitHalves(f, parts, linear, flags, () => f.return(c64(0)))
  forEachByte(f, linear, halves, bytes, (index, at, place) => {
    f.if(i64.geS(at, c64(0)), () => f.set(at, i64.load8U(env.machine, i32.wrap(at))), () => {
      f.set(at, call(mmioRead, place, c32(1)))
      f.if(globalGet(globals.status, 'i32'), () => f.return(c64(0)))
    })
    const shift = i64.shl(i64.extendU(index), c64(3))
    f.set(value, i64.or(value, i64.shl(at, shift)))
  })
  f.return(value)
  return f
}

/** Stores to machine memory, after telling of it when the frame holds code. */
function emitMachineStore(
  f: FunctionBuilder, env: MmuEnvironment, width: AccessWidth, machine: Local, value: Expression,
): void {
  const at = i32.wrap(machine)
  f.if(holdsCode(env, at), () => f.call(env.codeWritten, at, c32(width / 8)))
  f.store(machineStore[width], env.machine, at, value)
}

function buildStore(
  module: ModuleBuilder, parts: Parts, width: ScalarWidth, mmioWrite: FunctionBuilder,
): FunctionBuilder {
  const { env, globals, translate } = parts
  const bytes = width / 8
  const f = module.function({ parameters: ['i64', 'i64', 'i32'], result: 'i32' })
  const [linear, value, flags] = f.parameters as [Local, Local, Local]
  const machine = f.local('i64')
  const access = i32.or(flags, c32(Access.WRITE))
  f.setGlobal(globals.status, c32(0))
  emitWatch(f, parts, linear, bytes, access, () => f.return(c32(Stop.FAULT)))
  f.if(i32.leU(offsetIn(linear), c32(0x1000 - bytes)), () => {
    f.set(machine, call(translate, linear, access))
    f.if(i64.geS(machine, c64(0)), () => {
      emitMachineStore(f, env, width, machine, value)
      f.return(c32(0))
    })
    f.if(i64.eq(machine, c64(FAULT)), () => f.return(c32(Stop.FAULT)))
    const place = i64.load(env.core, c32(0), controlAt('accessAddress'))
    f.return(call(mmioWrite, place, c32(bytes), value))
  })
  if (bytes === 1) return f
  const halves = emitHalves(f, parts, linear, access, () => f.return(c32(Stop.FAULT)))
  const byteAt = (index: Local): Expression =>
    i64.shrU(value, i64.shl(i64.extendU(index), c64(3)))
  forEachByte(f, linear, halves, bytes, (index, at, place) => {
    f.if(i64.eq(at, c64(OUTSIDE)), () => {
      f.drop(call(mmioWrite, place, c32(1), byteAt(index)))
      f.if(globalGet(globals.status, 'i32'), () => f.return(c32(Stop.MMIO_WRITE)))
    })
  })
  forEachByte(f, linear, halves, bytes, (index, at) => {
    f.if(i64.geS(at, c64(0)), () => emitMachineStore(f, env, 8, at, byteAt(index)))
  })
  f.return(c32(0))
  return f
}

const I64X2_SPLAT = 18
const I64X2_EXTRACT = 29
const I64X2_REPLACE = 30

function buildLoad128(
  module: ModuleBuilder, parts: Parts, load64: FunctionBuilder,
): FunctionBuilder {
  const { env, globals, translate } = parts
  const f = module.function({ parameters: ['i64', 'i32'], result: 'v128' })
  const [linear, flags] = f.parameters as [Local, Local]
  const machine = f.local('i64')
  const low = f.local('i64')
  f.setGlobal(globals.status, c32(0))
  emitWatch(f, parts, linear, 16, flags, () => f.return(v128.const(0n)))
  f.if(i32.leU(offsetIn(linear), c32(0x1000 - 16)), () => {
    f.set(machine, call(translate, linear, flags))
    f.if(i64.geS(machine, c64(0)), () => {
      f.return(v128.load(env.machine, i32.wrap(machine)))
    })
    f.if(i64.eq(machine, c64(FAULT)), () => f.return(v128.const(0n)))
  })
  f.set(low, call(load64, linear, flags))
  f.if(globalGet(globals.status, 'i32'), () => f.return(v128.const(0n)))
  const high = call(load64, i64.add(linear, c64(8)), flags)
  f.return(simd('v128', I64X2_REPLACE, [simd('v128', I64X2_SPLAT, [low]), high], [1]))
  return f
}

function buildStore128(
  module: ModuleBuilder, parts: Parts, store64: FunctionBuilder, probeWrite: FunctionBuilder,
): FunctionBuilder {
  const { env, globals, translate } = parts
  const f = module.function({ parameters: ['i64', 'v128', 'i32'], result: 'i32' })
  const [linear, value, flags] = f.parameters as [Local, Local, Local]
  const machine = f.local('i64')
  f.setGlobal(globals.status, c32(0))
  const access = i32.or(flags, c32(Access.WRITE))
  emitWatch(f, parts, linear, 16, access, () => f.return(c32(Stop.FAULT)))
  f.if(i32.leU(offsetIn(linear), c32(0x1000 - 16)), () => {
    f.set(machine, call(translate, linear, i32.or(flags, c32(Access.WRITE))))
    f.if(i64.geS(machine, c64(0)), () => {
      emitMachineStore(f, env, 128, machine, value)
      f.return(c32(0))
    })
    f.if(i64.eq(machine, c64(FAULT)), () => f.return(c32(Stop.FAULT)))
  })
  f.drop(call(probeWrite, linear, c32(16), flags))
  f.if(globalGet(globals.status, 'i32'), () => f.return(c32(Stop.FAULT)))
  const lane = (index: number): Expression => simd('i64', I64X2_EXTRACT, [value], [index])
  f.drop(call(store64, linear, lane(0), flags))
  f.if(globalGet(globals.status, 'i32'), () => f.return(globalGet(globals.status, 'i32')))
  f.return(call(store64, i64.add(linear, c64(8)), lane(1), flags))
  return f
}

function buildProbeWrite(module: ModuleBuilder, parts: Parts): FunctionBuilder {
  const { env, globals, translate } = parts
  const f = module.function({ parameters: ['i64', 'i32', 'i32'], result: 'i64' })
  const [linear, size, flags] = f.parameters as [Local, Local, Local]
  const machine = f.local('i64')
  const access = i32.or(flags, c32(Access.WRITE))
  f.setGlobal(globals.status, c32(0))
  f.if(i32.leU(i32.add(offsetIn(linear), size), c32(0x1000)), () => {
    f.set(machine, call(translate, linear, access))
    f.if(i64.ltS(machine, c64(0)), () => f.return(machine))
    f.if(holdsCode(env, i32.wrap(machine)), () => f.return(c64(OUTSIDE)))
    f.return(machine)
  })
  emitHalves(f, parts, linear, access, () => f.return(c64(FAULT)))
  f.return(c64(OUTSIDE))
  return f
}
