/**
 * Loads and stores that the inline path misses: TLB misses, page crossings, MMIO, code frames; and
 * unaligned accesses, which some inline paths leave out, so that the TLB is asked first.
 *
 * A slow access leaves in the global `status` how it ended: 0, or Stop.FAULT, MMIO_READ or
 * MMIO_WRITE with the particulars in the control block. MMIO is replayed: the instruction is
 * executed again after each answer, and its accesses to MMIO take the answers in their order, so
 * everything before the first unanswered access must be free of lasting effects. An access that
 * crosses pages reaches MMIO byte by byte, and before it changes memory.
 *
 * A store by compiled code (Access.COMPILED) to a line that holds decoded code ends with
 * Stop.RETRY, and stores nothing.
 */
import {
  call, globalGet, i32, i64, simd, v128, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { CODE_MODE_FLAT32, Stop } from '../core-memory.ts'
import { buildHoldsLines, holdsCode } from './code-frames.ts'
import {
  bothAreMemory, buildStorePiece, emitCrossingStore, emitHalves, emitStoreBeyond, forEachByte,
  joined, offsetIn,
} from './crossing.ts'
import {
  Access, type AccessParts, controlAt, controlWord, FAULT, has, OUTSIDE, type MmuEnvironment,
  type MmuGlobals,
} from './environment.ts'
import { entryOf, hits, machineAddress } from './lookup.ts'
import { emitSetEntry } from './micro-tlb.ts'
import { buildMmioRead, buildMmioWrite } from './mmio.ts'
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
   * all may be written there directly; OUTSIDE if loads and stores of this file must do it (they
   * will not fault); FAULT with the status set.
   */
  readonly probeWrite: FunctionBuilder
}

/** What is as near to the end of a segment that an access may reach it. */
const END_BYTES = 64

const c32 = (value: number): Expression => i32.const(value)
const c64 = (value: number | bigint): Expression => i64.const(value)

const machineLoad = {
  8: i64.load8U, 16: i64.load16U, 32: i64.load32U, 64: i64.load, 128: v128.load,
} as const

const machineStore = {
  8: 'i64As8', 16: 'i64As16', 32: 'i64As32', 64: 'i64', 128: 'v128',
} as const

export function buildSlow(
  module: ModuleBuilder, given: Pick<AccessParts, 'env' | 'globals' | 'translate'>,
): SlowFunctions {
  const holdsLines = buildHoldsLines(module, given.env)
  const parts = {
    ...given,
    watch: buildWatch(module, given.env, given.globals),
    holdsLines,
    announce: buildAnnounce(module, given.env, given.globals, holdsLines),
    storePiece: buildStorePiece(module, given.env),
  }
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

/** Puts the rights of the current privilege level into `flags` where they are asked for. */
function emitRights(f: FunctionBuilder, { globals }: AccessParts, flags: Local): void {
  f.if(has(flags, Access.CURRENT),
    () => f.set(flags, i32.or(flags, globalGet(globals.access, 'i32'))))
}

/** Looks at an access, while anybody wants that; runs `failed` when it faults. */
function emitWatch(
  f: FunctionBuilder, { env, watch }: AccessParts, linear: Local, bytes: number, access: Expression,
  failed: () => void,
): void {
  f.if(watchesAccesses(env), () => f.if(call(watch, linear, c32(bytes), access), failed))
}

/** Compiled 32-bit code does not ask whether an access ends in its segment, which is all there is:
 * accesses near its end are left to the interpreter, which does; runs `failed` for one. */
function emitEnd(
  f: FunctionBuilder, { env, globals }: AccessParts, linear: Local, flags: Expression,
  failed: () => void,
): void {
  f.if(i32.eq(controlWord(env, 'codeMode'), c32(CODE_MODE_FLAT32)), () => {
    const isNear = i64.eq(i64.or(linear, c64(END_BYTES - 1)), c64(0xffff_ffff))
    f.if(i32.and(isNear, i32.ne(has(flags, Access.COMPILED), c32(0))), () => {
      f.store('i32', env.core, c32(0), c32(Stop.DEFER), controlAt('stop'))
      f.setGlobal(globals.status, c32(Stop.DEFER))
      failed()
    })
  })
}

/** Runs `hit` with the machine address when a table of the current privilege level serves the whole
 * access. Nobody watches then: the tables would be empty. */
function emitRetry(
  f: FunctionBuilder, { env, globals }: AccessParts, access: { linear: Local, flags: Local },
  write: boolean, bytes: number, hit: (machine: Expression) => void,
): void {
  const { linear, flags } = access
  const entry = f.local('i64')
  const tables = controlWord(env, 'tables')
  f.set(entry, entryOf(env.core, tables, linear, write))
  const usual = i32.eq(has(flags, Access.USER), globalGet(globals.access, 'i32'))
  const fits = i32.leU(offsetIn(linear), c32(0x1000 - bytes))
  f.if(i32.and(i32.and(hits(linear, entry), fits), usual),
    () => {
      emitSetEntry(f, env.core, { flags, tables, linear, entry })
      hit(machineAddress(linear, entry))
    })
}

/** (machine address i32, bytes i32, access i32) -> i32 */
function buildAnnounce(
  module: ModuleBuilder, env: MmuEnvironment, globals: MmuGlobals, holdsLines: FunctionBuilder,
): FunctionBuilder {
  const f = module.function({ parameters: ['i32', 'i32', 'i32'], result: 'i32' })
  const [at, bytes, access] = f.parameters as [Local, Local, Local]
  f.if(i32.eqz(holdsCode(env, at)), () => f.return(c32(0)))
  f.if(i32.eqz(call(holdsLines, at, bytes)), () => f.return(c32(0)))
  f.call(env.codeWritten, at, bytes)
  f.if(i32.eqz(has(access, Access.COMPILED)), () => f.return(c32(0)))
  f.store('i32', env.core, c32(0), c32(Stop.RETRY), controlAt('stop'))
  f.setGlobal(globals.status, c32(Stop.RETRY))
  f.return(c32(Stop.RETRY))
  return f
}

function buildLoad(
  module: ModuleBuilder, parts: AccessParts, width: ScalarWidth, mmioRead: FunctionBuilder,
): FunctionBuilder {
  const { env, globals, translate } = parts
  const bytes = width / 8
  const f = module.function({ parameters: ['i64', 'i32'], result: 'i64' })
  const [linear, flags] = f.parameters as [Local, Local]
  const machine = f.local('i64')
  const value = f.local('i64')
  f.setGlobal(globals.status, c32(0))
  emitRights(f, parts, flags)
  emitRetry(f, parts, { linear, flags }, false, bytes,
    (found) => f.return(machineLoad[width](env.machine, found)))
  emitEnd(f, parts, linear, flags, () => f.return(c64(0)))
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
  f.if(bothAreMemory(halves), () => f.return(joined(env, linear, halves, width)))
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

/** Stores to machine memory, unless compiled code would change decoded code; returns. */
function emitMachineStore(
  f: FunctionBuilder, { env, announce }: AccessParts, width: AccessWidth,
  store: { machine: Local, value: Expression, access: Expression },
): void {
  const at = i32.wrap(store.machine)
  f.if(holdsCode(env, at), () => {
    f.if(call(announce, at, c32(width / 8), store.access), () => f.return(c32(Stop.RETRY)))
  })
  f.store(machineStore[width], env.machine, at, store.value)
  f.return(c32(0))
}

function buildStore(
  module: ModuleBuilder, parts: AccessParts, width: ScalarWidth, mmioWrite: FunctionBuilder,
): FunctionBuilder {
  const { env, globals, translate } = parts
  const bytes = width / 8
  const f = module.function({ parameters: ['i64', 'i64', 'i32'], result: 'i32' })
  const [linear, value, flags] = f.parameters as [Local, Local, Local]
  const machine = f.local('i64')
  const access = i32.or(flags, c32(Access.WRITE))
  f.setGlobal(globals.status, c32(0))
  emitRights(f, parts, flags)
  emitRetry(f, parts, { linear, flags }, true, bytes, (found) => {
    f.store(machineStore[width], env.machine, found, value)
    f.return(c32(0))
  })
  emitEnd(f, parts, linear, access, () => f.return(c32(Stop.FAULT)))
  emitWatch(f, parts, linear, bytes, access, () => f.return(c32(Stop.FAULT)))
  f.if(i32.leU(offsetIn(linear), c32(0x1000 - bytes)), () => {
    f.set(machine, call(translate, linear, access))
    f.if(i64.geS(machine, c64(0)), () => {
      emitMachineStore(f, parts, width, { machine, value, access })
    })
    f.if(i64.eq(machine, c64(FAULT)), () => f.return(c32(Stop.FAULT)))
    const place = i64.load(env.core, c32(0), controlAt('accessAddress'))
    f.return(call(mmioWrite, place, c32(bytes), value))
  })
  if (bytes === 1) return f
  const halves = emitHalves(f, parts, linear, access, () => f.return(c32(Stop.FAULT)))
  f.if(bothAreMemory(halves),
    () => emitCrossingStore(f, parts, bytes, halves, { linear, value, access }))
  emitStoreBeyond(f, parts, bytes, halves, { linear, value, access }, mmioWrite)
  f.return(c32(0))
  return f
}

const I64X2_SPLAT = 18
const I64X2_EXTRACT = 29
const I64X2_REPLACE = 30

function buildLoad128(
  module: ModuleBuilder, parts: AccessParts, load64: FunctionBuilder,
): FunctionBuilder {
  const { env, globals, translate } = parts
  const f = module.function({ parameters: ['i64', 'i32'], result: 'v128' })
  const [linear, flags] = f.parameters as [Local, Local]
  const machine = f.local('i64')
  const low = f.local('i64')
  f.setGlobal(globals.status, c32(0))
  emitRights(f, parts, flags)
  emitRetry(f, parts, { linear, flags }, false, 16,
    (found) => f.return(v128.load(env.machine, found)))
  emitEnd(f, parts, linear, flags, () => f.return(v128.const(0n)))
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
  module: ModuleBuilder, parts: AccessParts, store64: FunctionBuilder, probeWrite: FunctionBuilder,
): FunctionBuilder {
  const { env, globals, translate } = parts
  const f = module.function({ parameters: ['i64', 'v128', 'i32'], result: 'i32' })
  const [linear, value, flags] = f.parameters as [Local, Local, Local]
  const machine = f.local('i64')
  f.setGlobal(globals.status, c32(0))
  emitRights(f, parts, flags)
  const access = i32.or(flags, c32(Access.WRITE))
  emitRetry(f, parts, { linear, flags }, true, 16, (found) => {
    f.store('v128', env.machine, found, value)
    f.return(c32(0))
  })
  emitEnd(f, parts, linear, access, () => f.return(c32(Stop.FAULT)))
  emitWatch(f, parts, linear, 16, access, () => f.return(c32(Stop.FAULT)))
  f.if(i32.leU(offsetIn(linear), c32(0x1000 - 16)), () => {
    f.set(machine, call(translate, linear, access))
    f.if(i64.geS(machine, c64(0)), () => {
      emitMachineStore(f, parts, 128, { machine, value, access })
    })
    f.if(i64.eq(machine, c64(FAULT)), () => f.return(c32(Stop.FAULT)))
  })
  f.drop(call(probeWrite, linear, c32(16), flags))
  f.if(globalGet(globals.status, 'i32'), () => f.return(globalGet(globals.status, 'i32')))
  const lane = (index: number): Expression => simd('i64', I64X2_EXTRACT, [value], [index])
  f.drop(call(store64, linear, lane(0), flags))
  f.if(globalGet(globals.status, 'i32'), () => f.return(globalGet(globals.status, 'i32')))
  f.return(call(store64, i64.add(linear, c64(8)), lane(1), flags))
  return f
}

function buildProbeWrite(module: ModuleBuilder, parts: AccessParts): FunctionBuilder {
  const { env, globals, translate, announce, holdsLines } = parts
  const f = module.function({ parameters: ['i64', 'i32', 'i32'], result: 'i64' })
  const [linear, size, flags] = f.parameters as [Local, Local, Local]
  const machine = f.local('i64')
  const access = i32.or(flags, c32(Access.WRITE))
  const compiled = has(flags, Access.COMPILED)
  const check = (at: Local): void => {
    f.if(i64.geS(at, c64(0)), () => {
      f.if(call(announce, i32.wrap(at), size, access), () => f.return(c64(FAULT)))
    })
  }
  f.setGlobal(globals.status, c32(0))
  emitRights(f, parts, flags)
  emitEnd(f, parts, linear, flags, () => f.return(c64(FAULT)))
  f.if(i32.leU(i32.add(offsetIn(linear), size), c32(0x1000)), () => {
    f.set(machine, call(translate, linear, access))
    f.if(i64.ltS(machine, c64(0)), () => f.return(machine))
    f.if(compiled, () => check(machine))
    f.if(holdsCode(env, i32.wrap(machine)), () => {
      f.if(call(holdsLines, i32.wrap(machine), size), () => {
        const other = i32.xor(i32.wrap(machine), controlWord(env, 'codeMachinePage'))
        f.if(i32.eqz(has(flags, Access.BLOCK)), () => f.return(c64(OUTSIDE)))
        f.if(i32.leU(other, c32(0xfff)), () => f.return(c64(OUTSIDE)))
        f.call(env.codeWritten, i32.wrap(machine), size)
      })
    })
    f.return(machine)
  })
  const { first, second } = emitHalves(f, parts, linear, access, () => f.return(c64(FAULT)))
  f.if(compiled, () => {
    check(first)
    check(second)
  })
  f.return(c64(OUTSIDE))
  return f
}
