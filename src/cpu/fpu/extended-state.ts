/**
 * XSAVE, XRSTOR and their kin in 64-bit code (AMD APM 4; APM 2, 11.5), where the whole area is
 * memory: what system/xsave.ts does in these cases; and FXSAVE and FXRSTOR, whose image the area
 * begins with (isa/x87/image.ts).
 *
 * Left to the service, with nothing changed: whatever faults, areas that are not all memory or hold
 * decoded code, watched accesses and single steps.
 */
import { call, i32, i64, select, simd, v128, type Expression, type Local }
  from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { CR0, CR4, XCR0 } from '../../abi/x86/control.ts'
import { RAX, RDX } from '../../abi/x86/registers.ts'
import type { StateTransfer } from '../../isa/backend.ts'
import { IMAGE_BYTES, MXCSR_MASK } from '../../isa/x87/image.ts'
import { gprAt, loadControlRegister, xmmAt, Z } from '../interpreter/core-fields.ts'
import { CORE, type EngineParts, MACHINE, partSignatures } from '../interpreter/parts.ts'
import { CpuContext, X87Register } from '../state.ts'
import { AREA, COMPACT, MXCSR_DEFAULT, X87_INITIAL_CONTROL } from '../system/xsave-area.ts'
import { deferIf, emitCommonChecks, has, StateArea, type StateAreaNeeds } from './state-area.ts'

/** What distinguishes the instructions, as bits. */
const Form = { COMPACT: 1, SUPERVISOR: 2, SKIPS_INITIAL: 4, WIDE: 8 } as const

/** The function that does it, and the form. */
const transfers = {
  fxsave: ['saveImage', 0],
  fxrstor: ['restoreImage', 0],
  xsave: ['saveState', 0],
  xsaveopt: ['saveState', Form.SKIPS_INITIAL],
  xsavec: ['saveState', Form.COMPACT | Form.SKIPS_INITIAL],
  xsaves: ['saveState', Form.COMPACT | Form.SUPERVISOR | Form.SKIPS_INITIAL],
  xrstor: ['restoreState', 0],
  xrstors: ['restoreState', Form.SUPERVISOR],
} as const satisfies Record<StateTransfer, readonly [keyof EngineParts, number]>

export function transferOf(
  name: StateTransfer, operandSize: number,
): { part: (typeof transfers)[StateTransfer][0], form: number } {
  const [part, form] = transfers[name]
  return { part, form: form | (operandSize === 64 ? Form.WIDE : 0) }
}

const at = CpuContext.offsets
const REGISTERS = Array.from({ length: 16 }, (_, index) => index)
const STACK = Array.from({ length: 8 }, (_, index) => index)
const ANY_TRUE = 0x53
const OR = 0x50
/** Control word, status word, tags and opcode: in the context as in the area, but for a byte
 * between tags and opcode. */
const X87_WORDS = 0xffff_00ff_ffff_ffffn
const X87_WORDS_WITHOUT_OPCODE = 0xff_ffff_ffffn
/** What of them is loaded; the exception summary and its copy are computed. */
const X87_LOADED = 0x07ff_00ff_7f7f_1f3fn
const RESERVED_CONTROL = 0x40n
const EXCEPTIONS = 0x3fn
const SUMMARY = 0x80
const SUMMARY_AND_BUSY = 0x8080_0000n

export function buildExtendedState(module: ModuleBuilder, needs: StateAreaNeeds) {
  const registersInUse = buildRegistersInUse(module)
  return {
    saveState: buildSave(module, needs, registersInUse),
    restoreState: buildRestore(module, needs),
    saveImage: buildSaveImage(module, needs),
    restoreImage: buildRestoreImage(module, needs),
  } satisfies Partial<EngineParts>
}

const anyTrue = (vector: Expression): Expression => simd('i32', ANY_TRUE, [vector])
const all = (vectors: readonly Expression[]): Expression =>
  vectors.reduce((sum, vector) => simd('v128', OR, [sum, vector]))
const context = (offset: number): Expression => i64.load(CORE, Z, offset)

/** () -> components of which a register is not in its initial state, as bits of XCR0. */
function buildRegistersInUse(module: ModuleBuilder): FunctionBuilder {
  const f = module.function({ parameters: [], result: 'i32' })
  const vectors = (half: number): Expression =>
    anyTrue(all(REGISTERS.map((index) => v128.load(CORE, Z, xmmAt(index) + half))))
  const stack = anyTrue(all(STACK.map((index) =>
    v128.load(CORE, Z, at.x87 + index * X87Register.size))))
  const control = i64.xor(i64.and(context(at.x87Control), i64.const(X87_WORDS)),
    i64.const(X87_INITIAL_CONTROL))
  const pointers = i64.or(i64.or(context(at.x87LastIp), context(at.x87LastDp)),
    i64.load32U(CORE, Z, at.x87LastCs))
  const x87 = i32.or(stack, i64.ne(i64.or(control, pointers), i64.const(0)))
  f.return(i32.or(x87, i32.or(i32.shl(vectors(0), i32.const(1)),
    i32.shl(vectors(16), i32.const(2)))))
  return f
}

function emitChecks(f: FunctionBuilder, linear: Local, form: Local): void {
  emitCommonChecks(f, linear, CR0.TS, 63)
  deferIf(f, i32.eqz(has(loadControlRegister('cr4'), CR4.OSXSAVE)))
  f.if(has(form, Form.SUPERVISOR), () => deferIf(f, i32.load(CORE, Z, at.cpl)))
}

function emitImageChecks(f: FunctionBuilder, linear: Local): void {
  emitCommonChecks(f, linear, CR0.EM | CR0.TS, 15)
}

/** i64: the components that the form may touch. */
function allowedBy(form: Local): Expression {
  const supervisor = select(context(at.xss), i64.const(0), has(form, Form.SUPERVISOR))
  return i64.or(context(at.xcr0), supervisor)
}

/** i64: those of them that EDX:EAX asks for. */
function requestedBy(form: Local): Expression {
  const mask = i64.or(i64.load32U(CORE, Z, gprAt(RAX)),
    i64.shl(i64.load32U(CORE, Z, gprAt(RDX)), i64.const(32)))
  return i64.and(allowedBy(form), mask)
}

/** Address in core memory of the stack register `index` below the top. */
function stackAt(index: number, top: Local): Expression {
  const number = i32.and(i32.add(top, i32.const(index)), i32.const(7))
  return i32.shl(number, i32.const(Math.log2(X87Register.size)))
}

function setTop(f: FunctionBuilder, top: Local): void {
  f.set(top, i32.shrU(i32.load16U(CORE, Z, at.x87Status), i32.const(11)))
}

function buildSave(
  module: ModuleBuilder, needs: StateAreaNeeds, registersInUse: FunctionBuilder,
): FunctionBuilder {
  const f = module.function(partSignatures.saveState)
  const [linear, form] = f.parameters as [Local, Local]
  const [wanted, used, written] = [f.local('i32'), f.local('i32'), f.local('i32')]
  const size = f.local('i32')
  const compact = has(form, Form.COMPACT)
  const area = new StateArea(f, needs, linear)
  emitChecks(f, linear, form)
  f.set(wanted, i32.wrap(requestedBy(form)))
  const mxcsrInUse = i32.ne(i32.load(CORE, Z, at.mxcsr), i32.const(MXCSR_DEFAULT))
  const withMxcsr = i32.shl(i32.and(compact, mxcsrInUse), i32.const(Math.log2(XCR0.SSE)))
  f.set(used, i32.and(wanted, i32.or(call(registersInUse), withMxcsr)))
  f.set(written, select(used, wanted, has(form, Form.SKIPS_INITIAL)))
  f.set(size, select(i32.const(AREA.avx + AREA.avxSize), i32.const(AREA.avx),
    has(written, XCR0.AVX)))
  area.reachForWrite(size)

  f.if(has(written, XCR0.X87), () => emitSaveX87(f, area, form))
  f.if(select(has(written, XCR0.SSE), has(wanted, XCR0.SSE | XCR0.AVX), compact),
    () => emitSaveMxcsr(area))
  f.if(has(written, XCR0.SSE), () => emitSaveVectors(area, AREA.xmm, 0))
  f.if(has(written, XCR0.AVX), () => emitSaveVectors(area, AREA.avx, 16))
  const present = i64.extendU(used)
  f.if(compact, () => {
    area.store(AREA.components, present)
    area.store(AREA.format, i64.or(i64.const(COMPACT), i64.extendU(wanted)))
  }, () => {
    const others = i64.and(area.load(AREA.components),
      i64.xor(i64.extendU(wanted), i64.const(-1)))
    area.store(AREA.components, i64.or(others, present))
  })
  f.return(i32.const(0))
  return f
}

function buildSaveImage(module: ModuleBuilder, needs: StateAreaNeeds): FunctionBuilder {
  const f = module.function(partSignatures.saveImage)
  const [linear, form] = f.parameters as [Local, Local]
  const size = f.local('i32')
  const area = new StateArea(f, needs, linear)
  emitImageChecks(f, linear)
  f.set(size, i32.const(IMAGE_BYTES))
  area.reachForWrite(size)
  emitSaveX87(f, area, form)
  emitSaveMxcsr(area)
  emitSaveVectors(area, AREA.xmm, 0)
  f.return(i32.const(0))
  return f
}

function emitSaveMxcsr(area: StateArea): void {
  area.store(AREA.mxcsr, i64.or(i64.load32U(CORE, Z, at.mxcsr),
    i64.const(BigInt(MXCSR_MASK) << 32n)))
}

/** Lower or upper halves: bytes from `half` on. */
function emitSaveVectors(area: StateArea, offset: number, half: 0 | 16): void {
  for (const index of REGISTERS) {
    area.storeVector(offset + index * 16, v128.load(CORE, Z, xmmAt(index) + half))
  }
}

/** Opcode and pointers are zeros unless an unmasked exception waits. */
function emitSaveX87(f: FunctionBuilder, area: StateArea, form: Local): void {
  const [top, pending] = [f.local('i32'), f.local('i32')]
  f.set(pending, has(i32.load8U(CORE, Z, at.x87Status), SUMMARY))
  area.store(0, i64.and(context(at.x87Control), select(
    i64.const(X87_WORDS), i64.const(X87_WORDS_WITHOUT_OPCODE), pending)))
  const pointer = (offset: number, whole: number, selector: number): void => {
    const narrow = i64.or(i64.load32U(CORE, Z, whole),
      i64.shl(i64.extendU(i32.load16U(CORE, Z, selector)), i64.const(32)))
    const wide = select(context(whole), narrow, has(form, Form.WIDE))
    area.store(offset, select(wide, i64.const(0), pending))
  }
  pointer(AREA.ip, at.x87LastIp, at.x87LastCs)
  pointer(AREA.dp, at.x87LastDp, at.x87LastDs)
  setTop(f, top)
  for (const index of STACK) {
    area.storeVector(AREA.stack + index * 16, v128.load(CORE, stackAt(index, top), at.x87))
  }
}

function buildRestore(module: ModuleBuilder, needs: StateAreaNeeds): FunctionBuilder {
  const f = module.function(partSignatures.restoreState)
  const [linear, form] = f.parameters as [Local, Local]
  const [wanted, loaded, mxcsr] = [f.local('i32'), f.local('i32'), f.local('i32')]
  const [present, format] = [f.local('i64'), f.local('i64')]
  const withMxcsr = f.local('i32')
  const area = new StateArea(f, needs, linear)
  const headerInFirst = area.isInFirst(i32.const(AREA.components))
  emitChecks(f, linear, form)
  f.if(headerInFirst, () => area.reachFirst(), () => area.reachSecond())
  f.set(present, area.load(AREA.components))
  f.set(format, area.load(AREA.format))
  emitHeaderChecks(f, area, form, { present, format })
  f.set(wanted, i32.wrap(requestedBy(form)))
  f.set(loaded, i32.and(wanted, i32.wrap(present)))
  f.set(withMxcsr, select(has(wanted, XCR0.SSE | XCR0.AVX), has(loaded, XCR0.SSE),
    i64.eqz(format)))
  f.if(headerInFirst, () => {
    f.if(has(loaded, XCR0.AVX), () => emitReachEnd(f, area, AREA.avx + AREA.avxSize))
  }, () => {
    f.if(i32.or(has(loaded, XCR0.X87 | XCR0.SSE), withMxcsr), () => area.reachFirst())
  })
  f.set(mxcsr, i32.const(MXCSR_DEFAULT))
  f.if(withMxcsr, () => emitLoadMxcsr(f, area, mxcsr))

  f.if(has(wanted, XCR0.X87), () => f.if(has(loaded, XCR0.X87),
    () => emitLoadX87(f, area, form), () => emitInitialX87(f)))
  const restoreVectors = (component: number, offset: number, half: 0 | 16): void => {
    f.if(has(wanted, component), () => f.if(has(loaded, component),
      () => emitLoadVectors(f, area, offset, half),
      () => emitSetVectors(f, half, () => v128.const(0n))))
  }
  restoreVectors(XCR0.SSE, AREA.xmm, 0)
  restoreVectors(XCR0.AVX, AREA.avx, 16)
  f.if(i32.or(withMxcsr, has(wanted, XCR0.SSE)), () => f.store('i32', CORE, Z, mxcsr, at.mxcsr))
  f.return(i32.const(0))
  return f
}

function buildRestoreImage(module: ModuleBuilder, needs: StateAreaNeeds): FunctionBuilder {
  const f = module.function(partSignatures.restoreImage)
  const [linear, form] = f.parameters as [Local, Local]
  const mxcsr = f.local('i32')
  const area = new StateArea(f, needs, linear)
  emitImageChecks(f, linear)
  // In this order, for the sake of accessed bits when one of the pages faults.
  emitReachEnd(f, area, IMAGE_BYTES)
  area.reachFirst()
  emitLoadMxcsr(f, area, mxcsr)
  emitLoadX87(f, area, form)
  emitLoadVectors(f, area, AREA.xmm, 0)
  f.store('i32', CORE, Z, mxcsr, at.mxcsr)
  f.return(i32.const(0))
  return f
}

/** Finds the second page if bytes up to `end` lie there. */
function emitReachEnd(f: FunctionBuilder, area: StateArea, end: number): void {
  f.if(i32.eqz(area.isInFirst(i32.const(end - 1))), () => area.reachSecond())
}

/** Defers for reserved bits. */
function emitLoadMxcsr(f: FunctionBuilder, area: StateArea, into: Local): void {
  f.set(into, i32.wrap(area.load(AREA.mxcsr)))
  deferIf(f, has(into, ~MXCSR_MASK))
}

function emitLoadVectors(f: FunctionBuilder, area: StateArea, offset: number, half: 0 | 16): void {
  emitSetVectors(f, half, (index) => area.loadVector(offset + index * 16))
}

function emitSetVectors(
  f: FunctionBuilder, half: 0 | 16, value: (index: number) => Expression,
): void {
  for (const index of REGISTERS) f.store('v128', CORE, Z, value(index), xmmAt(index) + half)
}

/** Defers for a header that promises what is not there. */
function emitHeaderChecks(
  f: FunctionBuilder, area: StateArea, form: Local, header: { present: Local, format: Local },
): void {
  const { present, format } = header
  const [bad, allowed] = [f.local('i64'), f.local('i64')]
  f.set(allowed, allowedBy(form))
  const without = (bits: Expression, mask: Expression): Expression =>
    i64.and(bits, i64.xor(mask, i64.const(-1)))
  const reserved = (count: number): Expression => Array.from({ length: count },
    (_, word) => area.load(AREA.reserved + word * 8)).reduce((sum, word) => i64.or(sum, word))
  f.if(i64.ltS(format, i64.const(0)), () => {
    const components = i64.and(format, i64.const((1n << 63n) - 1n))
    f.set(bad, i64.or(reserved(6),
      i64.or(without(components, allowed), without(present, components))))
  }, () => {
    const supervisor = i64.extendU(has(form, Form.SUPERVISOR))
    f.set(bad, i64.or(i64.or(reserved(1), supervisor), i64.or(format, without(present, allowed))))
  })
  deferIf(f, i64.ne(bad, i64.const(0)))
}

function emitLoadX87(f: FunctionBuilder, area: StateArea, form: Local): void {
  const [top, words] = [f.local('i32'), f.local('i64')]
  f.set(words, i64.or(i64.and(area.load(0), i64.const(X87_LOADED)), i64.const(RESERVED_CONTROL)))
  const unmasked = i64.and(i64.shrU(words, i64.const(16)), i64.xor(words, i64.const(-1)))
  f.if(i64.ne(i64.and(unmasked, i64.const(EXCEPTIONS)), i64.const(0)),
    () => f.set(words, i64.or(words, i64.const(SUMMARY_AND_BUSY))))
  f.store('i64', CORE, Z, words, at.x87Control)
  const canonical = (address: Expression): Expression =>
    i64.shrS(i64.shl(address, i64.const(16)), i64.const(16))
  const pointer = (offset: number, whole: number, selector: number): void => {
    f.if(has(form, Form.WIDE), () => {
      f.store('i64', CORE, Z, canonical(area.load(offset)), whole)
      f.store('i32As16', CORE, Z, i32.const(0), selector)
    }, () => {
      f.store('i64', CORE, Z, i64.load32U(MACHINE, area.at(offset)), whole)
      f.store('i32As16', CORE, Z, i32.load16U(MACHINE, area.at(offset + 4)), selector)
    })
  }
  pointer(AREA.ip, at.x87LastIp, at.x87LastCs)
  pointer(AREA.dp, at.x87LastDp, at.x87LastDs)
  setTop(f, top)
  for (const index of STACK) {
    const offset = AREA.stack + index * 16
    f.store('i64', CORE, stackAt(index, top), area.load(offset), at.x87)
    f.store('i64', CORE, stackAt(index, top), i64.load16U(MACHINE, area.at(offset + 8)),
      at.x87 + X87Register.offsets.signExponent)
  }
}

function emitInitialX87(f: FunctionBuilder): void {
  f.store('i64', CORE, Z, i64.const(X87_INITIAL_CONTROL), at.x87Control)
  f.store('i64', CORE, Z, i64.const(0), at.x87LastIp)
  f.store('i64', CORE, Z, i64.const(0), at.x87LastDp)
  f.store('i32', CORE, Z, i32.const(0), at.x87LastCs)
  for (const index of STACK) {
    f.store('v128', CORE, Z, v128.const(0n), at.x87 + index * X87Register.size)
  }
}
