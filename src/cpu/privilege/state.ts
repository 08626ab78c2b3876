/**
 * What changes of privilege level in WebAssembly share: RFLAGS as a whole, descriptors, segment
 * registers, and what the engine derives from the level.
 *
 * Everything here is for the common case, a 64-bit kernel with 64-bit programs; what is not common
 * is found out before anything changes, and left to TypeScript (cpu/system, cpu/exceptions).
 */
import {
  call, globalGet, i32, i64, select, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { RFLAGS } from '../../abi/x86/flags.ts'
import { CODE_MODE_LONG } from '../core-memory.ts'
import {
  controlAt, gprAt, loadControl32, segmentAt, Z,
} from '../interpreter/core-fields.ts'
import { CORE } from '../interpreter/parts.ts'
import { flagExpression, slotAt, type SlotName } from '../interpreter/reading/flag-slots.ts'
import { CpuContext, SegmentState } from '../state.ts'

const at = CpuContext.offsets
const segment = SegmentState.offsets
const NO_TAG = 1n

export interface PrivilegeNeeds {
  /** The global that says that something stopped. */
  readonly stopped: number
  readonly load64: FunctionReference
  readonly translate: FunctionReference
  readonly probeWrite: FunctionReference
  readonly selectTables: FunctionReference
  readonly lookUp: FunctionReference
}

/** Functions that the transfers and the delivery call. */
export interface PrivilegeFunctions {
  /** () -> RFLAGS i64, whole. */
  readonly packFlags: FunctionBuilder
  /** (RFLAGS i64): sets all of them. */
  readonly unpackFlags: FunctionBuilder
  /** (selector i32) -> the descriptor in the GDT, or 0. */
  readonly descriptor: FunctionBuilder
  /** (address of a segment register i32, selector i32, descriptor i64) */
  readonly setSegment: FunctionBuilder
  /** (level i32): the processor is in 64-bit code of this level from now on. */
  readonly enterLevel: FunctionBuilder
}

export function contextWord(field: keyof typeof at): Expression {
  return i32.load(CORE, Z, at[field])
}

export function contextLong(field: keyof typeof at): Expression {
  return i64.load(CORE, Z, at[field])
}

export function gpr(index: number): Expression {
  return i64.load(CORE, Z, gprAt(index))
}

export function setGpr(f: FunctionBuilder, index: number, value: Expression): void {
  f.store('i64', CORE, Z, value, gprAt(index))
}

/** Not 0 when breakpoints are enabled. */
export function breakpoints(): Expression {
  return i32.and(i32.load(CORE, Z, at.dr + 7 * 8), i32.const(0xff))
}

export function isNot64BitCode(): Expression {
  return i32.ne(loadControl32('codeMode'), i32.const(CODE_MODE_LONG))
}

/** A segment register as SYSCALL and its like load it. */
export function setFlat(
  f: FunctionBuilder, index: number, selector: Expression, attributes: number,
): void {
  const to = segmentAt(index)
  f.store('i64', CORE, Z, i64.const(0), to + segment.base)
  f.store('i32', CORE, Z, i32.const(-1), to + segment.limit)
  f.store('i32As16', CORE, Z, i32.const(attributes), to + segment.attributes)
  f.store('i32As16', CORE, Z, selector, to + segment.selector)
}

export function setNull(f: FunctionBuilder, index: number, selector: Expression): void {
  const to = segmentAt(index)
  f.store('i64', CORE, Z, i64.const(0), to + segment.base)
  f.store('i32', CORE, Z, i32.const(0), to + segment.limit)
  f.store('i32As16', CORE, Z, i32.const(0), to + segment.attributes)
  f.store('i32As16', CORE, Z, selector, to + segment.selector)
}

export function selectorOf(index: number): Expression {
  return i32.load16U(CORE, Z, segmentAt(index) + segment.selector)
}

export function attributesOf(index: number): Expression {
  return i32.load16U(CORE, Z, segmentAt(index) + segment.attributes)
}

/** Bits of a descriptor's second half, as they lie in all its 64 bits. */
const A = 1n << 40n
const W = 1n << 41n
const CONFORMING = 1n << 42n
const CODE = 1n << 43n
const S = 1n << 44n
const DPL = 3n << 45n
const P = 1n << 47n
const L = 1n << 53n
const D = 1n << 54n

/** Accessed, present 64-bit code of level `dpl`, not conforming. */
export function isCode64(descriptor: Expression, dpl: Expression): Expression {
  const mask = i64.const(A | CONFORMING | CODE | S | DPL | P | L | D)
  return i64.eq(i64.and(descriptor, mask),
    i64.or(i64.const(A | CODE | S | P | L), i64.shl(i64.extendU(dpl), i64.const(45))))
}

/** An accessed, present stack segment of level `dpl`. */
export function isStack(descriptor: Expression, dpl: Expression): Expression {
  return i64.eq(i64.and(descriptor, i64.const(A | W | CODE | S | DPL | P)),
    i64.or(i64.const(A | W | S | P), i64.shl(i64.extendU(dpl), i64.const(45))))
}

export function buildPrivilegeState(
  module: ModuleBuilder, needs: PrivilegeNeeds,
): PrivilegeFunctions {
  return {
    packFlags: buildPackFlags(module),
    unpackFlags: buildUnpackFlags(module),
    descriptor: buildDescriptor(module, needs),
    setSegment: buildSetSegment(module),
    enterLevel: buildEnterLevel(module, needs),
  }
}

const SLOTS: readonly (readonly [SlotName, number])[] = [
  ['cf', 0], ['pf', 2], ['af', 4], ['zf', 6], ['sf', 7], ['df', 10], ['of', 11],
]
const ARITHMETIC = SLOTS.reduce((mask, [, bit]) => mask | 1 << bit, 0)

function buildPackFlags(module: ModuleBuilder): FunctionBuilder {
  const f = module.function({ parameters: [], result: 'i64' })
  const read = (name: SlotName): Expression => i64.load(CORE, Z, slotAt(name))
  const image = SLOTS.map(([name, bit]) => i32.shl(flagExpression(read, name), i32.const(bit)))
    .reduce((all, one) => i32.or(all, one))
  f.return(i64.or(contextLong('systemFlags'), i64.extendU(image)))
  return f
}

/** Where in its slot a flag is set, as state.ts says; of ZF and PF, where it is clear. */
const SLOT_BITS: Readonly<Record<SlotName, number>> = {
  cf: 0, pf: 0, af: 4, zf: 0, sf: 63, df: 0, of: 63,
}

function buildUnpackFlags(module: ModuleBuilder): FunctionBuilder {
  const f = module.function({ parameters: ['i64'] })
  const flags = f.parameters[0]!
  for (const [name, bit] of SLOTS) {
    const value = i64.and(i64.shrU(flags, i64.const(bit)), i64.const(1))
    const stored = name === 'zf' || name === 'pf' ? i64.xor(value, i64.const(1)) : value
    f.store('i64', CORE, Z, i64.shl(stored, i64.const(SLOT_BITS[name])), slotAt(name))
  }
  const system = i64.and(flags, i64.const(BigInt(0xffff_ffff & ~ARITHMETIC) & 0xffff_ffffn))
  f.store('i64', CORE, Z, i64.or(system, i64.const(RFLAGS.FIXED)), at.systemFlags)
  return f
}

function buildDescriptor(module: ModuleBuilder, needs: PrivilegeNeeds): FunctionBuilder {
  const f = module.function({ parameters: ['i32'], result: 'i64' })
  const selector = f.parameters[0]!
  const found = f.local('i64')
  const offset = i32.and(selector, i32.const(0xfff8))
  const beyond = i32.gtU(i32.add(offset, i32.const(7)), i32.load(CORE, Z, at.gdtr + 8))
  const unusual = i32.or(i32.eqz(offset), i32.and(selector, i32.const(4)))
  f.if(i32.or(unusual, beyond), () => f.return(i64.const(0)))
  f.set(found, call(needs.load64, i64.add(contextLong('gdtr'), i64.extendU(offset)), Z))
  f.return(select(i64.const(0), found, globalGet(needs.stopped, 'i32')))
  return f
}

function buildSetSegment(module: ModuleBuilder): FunctionBuilder {
  const f = module.function({ parameters: ['i32', 'i32', 'i64'] })
  const [to, selector, bits] = f.parameters as [Local, Local, Local]
  const limit = f.local('i64')
  const part = (from: number, mask: number): Expression =>
    i64.and(i64.shrU(bits, i64.const(from)), i64.const(mask))
  f.store('i64', CORE, to, i64.or(part(16, 0xff_ffff),
    i64.shl(i64.shrU(bits, i64.const(56)), i64.const(24))), segment.base)
  f.set(limit, i64.or(part(0, 0xffff), part(32, 0xf_0000)))
  f.if(i32.wrap(part(55, 1)), () =>
    f.set(limit, i64.or(i64.shl(limit, i64.const(12)), i64.const(0xfff))))
  f.store('i64As32', CORE, to, limit, segment.limit)
  f.store('i64As16', CORE, to, i64.or(i64.or(part(40, 0xff), part(44, 0xf00)), i64.const(1)),
    segment.attributes)
  f.store('i32As16', CORE, to, selector, segment.selector)
  return f
}

/** What `modeChanged` of cpu.ts derives, for 64-bit code in which no access is watched. */
function buildEnterLevel(module: ModuleBuilder, needs: PrivilegeNeeds): FunctionBuilder {
  const f = module.function({ parameters: ['i32'] })
  f.store('i32', CORE, Z, f.parameters[0]!, at.cpl)
  f.store('i32', CORE, Z, i32.const(0), at.interruptShadow)
  f.store('i32', CORE, Z, i32.const(CODE_MODE_LONG), controlAt('codeMode'))
  f.store('i64', CORE, Z, i64.const(0), controlAt('codeBase'))
  f.store('i32', CORE, Z, i32.const(0), controlAt('watching'))
  f.store('i64', CORE, Z, i64.const(NO_TAG), controlAt('codePageTag'))
  f.call(needs.selectTables)
  return f
}
