/**
 * XSAVE, XRSTOR and their kin in 64-bit code (AMD APM 4; APM 2, 11.5), where the whole area is
 * memory: what system/xsave.ts does in these cases.
 *
 * Left to the service, with nothing changed: whatever faults, areas that are not all memory or hold
 * decoded code, watched accesses and single steps.
 */
import {
  call, globalGet, i32, i64, select, simd, v128, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { CR0, CR4, XCR0 } from '../../abi/x86/control.ts'
import { RAX, RDX } from '../../abi/x86/registers.ts'
import type { StateTransfer } from '../../isa/backend.ts'
import { MXCSR_MASK } from '../../isa/x87/image.ts'
import { CODE_MODE_LONG } from '../core-memory.ts'
import { WATCHED_ACCESSES } from '../debug.ts'
import { gprAt, loadControl32, loadControlRegister, xmmAt, Z } from '../interpreter/core-fields.ts'
import { CORE, type EngineParts, MACHINE, partSignatures } from '../interpreter/parts.ts'
import { Access } from '../mmu/environment.ts'
import { CpuContext, X87Register } from '../state.ts'
import { AREA, COMPACT, MXCSR_DEFAULT, X87_INITIAL_CONTROL } from '../system/xsave-area.ts'

export interface ExtendedStateNeeds {
  readonly stopped: number
  /** Flags of an ordinary access. */
  readonly access: number
  /** (linear i64, access i32) -> i64: machine address for reading, or negative. */
  readonly translate: FunctionReference
  /** (linear i64, size i32, access i32) -> i64: the same for writing. */
  readonly probeWrite: FunctionReference
  /** As translate, without the TLB. */
  readonly walk: FunctionReference
}

/** What distinguishes the instructions, as bits. */
const Form = { COMPACT: 1, SUPERVISOR: 2, SKIPS_INITIAL: 4, WIDE: 8 } as const

const forms: Readonly<Record<StateTransfer, number>> = {
  xsave: 0,
  xsaveopt: Form.SKIPS_INITIAL,
  xsavec: Form.COMPACT | Form.SKIPS_INITIAL,
  xsaves: Form.COMPACT | Form.SUPERVISOR | Form.SKIPS_INITIAL,
  xrstor: 0,
  xrstors: Form.SUPERVISOR,
}

export function formOf(name: StateTransfer, operandSize: number): number {
  return forms[name] | (operandSize === 64 ? Form.WIDE : 0)
}

const at = CpuContext.offsets
const REGISTERS = Array.from({ length: 16 }, (_, index) => index)
const STACK = Array.from({ length: 8 }, (_, index) => index)
const DEFERRED = 1
const ANY_TRUE = 0x53
const OR = 0x50
/** Control word, status word, tags and opcode: in the context as in the area, but for a byte
 * between tags and opcode. */
const X87_WORDS = 0xffff_00ff_ffff_ffffn
const X87_LOADED = 0x07ff_00ff_ffff_ffffn

export function buildExtendedState(module: ModuleBuilder, needs: ExtendedStateNeeds) {
  const inUse = buildComponentsInUse(module)
  return {
    saveState: buildSave(module, needs, inUse),
    restoreState: buildRestore(module, needs),
  } satisfies Partial<EngineParts>
}

const has = (word: Expression, bits: number): Expression => i32.and(word, i32.const(bits))
const anyTrue = (vector: Expression): Expression => simd('i32', ANY_TRUE, [vector])
const all = (vectors: readonly Expression[]): Expression =>
  vectors.reduce((sum, vector) => simd('v128', OR, [sum, vector]))
const context = (offset: number): Expression => i64.load(CORE, Z, offset)

/** () -> components that are not in their initial state, as bits of XCR0 (XINUSE). */
function buildComponentsInUse(module: ModuleBuilder): FunctionBuilder {
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

/** The memory operand, where its pages lie. */
class Area {
  readonly #f: FunctionBuilder
  readonly #needs: ExtendedStateNeeds
  readonly #linear: Local
  /** What an offset is added to in the first and in the second page. */
  readonly #first: Local
  readonly #second: Local
  /** Bytes in the first page: a multiple of 64. */
  readonly #inFirst: Local

  constructor(f: FunctionBuilder, needs: ExtendedStateNeeds, linear: Local) {
    this.#f = f
    this.#needs = needs
    this.#linear = linear
    this.#first = f.local('i32')
    this.#second = f.local('i32')
    this.#inFirst = f.local('i32')
    f.set(this.#inFirst,
      i32.sub(i32.const(4096), i32.and(i32.wrap(linear), i32.const(4095))))
  }

  /** 1 when the byte at `offset` is in the first page. */
  isInFirst(offset: Expression): Expression {
    return i32.ltU(offset, this.#inFirst)
  }

  /** Each finds a page, for `size` bytes of it that are written or for reading, or defers. */
  reachFirst(size?: Expression): void {
    this.#reachPage(this.#first, this.#linear, size)
  }

  reachSecond(size?: Expression): void {
    this.#reachPage(this.#second, this.#secondLinear(), size)
    this.#f.set(this.#second, i32.sub(this.#second, this.#inFirst))
  }

  /** Finds the pages of its first `size` bytes for writing, or defers. */
  reachForWrite(size: Local): void {
    const crosses = i32.gtU(size, this.#inFirst)
    // The first page must not become dirty when the second one faults.
    this.#f.if(crosses, () => this.#deferIfOutside(call(this.#needs.walk, this.#secondLinear(),
      i32.or(globalGet(this.#needs.access, 'i32'), i32.const(Access.WRITE | Access.PROBE)))))
    this.reachFirst(select(this.#inFirst, size, crosses))
    this.#f.if(crosses, () => this.reachSecond(i32.sub(size, this.#inFirst)))
  }

  #secondLinear(): Expression {
    return i64.add(this.#linear, i64.extendU(this.#inFirst))
  }

  #deferIfOutside(place: Expression): void {
    this.#f.if(i64.ltS(place, i64.const(0)), () => {
      this.#f.setGlobal(this.#needs.stopped, i32.const(0))
      this.#f.return(i32.const(DEFERRED))
    })
  }

  #reachPage(into: Local, linear: Expression, size: Expression | undefined): void {
    const f = this.#f
    const { access, probeWrite, translate } = this.#needs
    const place = f.local('i64')
    const flags = globalGet(access, 'i32')
    f.set(place, size ? call(probeWrite, linear, size, flags) : call(translate, linear, flags))
    this.#deferIfOutside(place)
    f.set(into, i32.wrap(place))
  }

  at(offset: number): Expression {
    const base = select(this.#first, this.#second, this.isInFirst(i32.const(offset)))
    return i32.add(base, i32.const(offset))
  }

  load(offset: number): Expression {
    return i64.load(MACHINE, this.at(offset))
  }

  loadVector(offset: number): Expression {
    return v128.load(MACHINE, this.at(offset))
  }

  store(offset: number, value: Expression): void {
    this.#f.store('i64', MACHINE, this.at(offset), value)
  }

  storeVector(offset: number, value: Expression): void {
    this.#f.store('v128', MACHINE, this.at(offset), value)
  }
}

/** Defers what faults, and what is watched. */
function emitChecks(f: FunctionBuilder, linear: Local, form: Local): void {
  const deferIf = (condition: Expression): void =>
    f.if(condition, () => f.return(i32.const(DEFERRED)))
  deferIf(i32.ne(loadControl32('codeMode'), i32.const(CODE_MODE_LONG)))
  deferIf(has(loadControl32('watching'), WATCHED_ACCESSES))
  deferIf(i32.eqz(has(loadControlRegister('cr4'), CR4.OSXSAVE)))
  deferIf(has(loadControlRegister('cr0'), CR0.TS))
  deferIf(has(i32.wrap(linear), 63))
  f.if(has(form, Form.SUPERVISOR), () => deferIf(i32.load(CORE, Z, at.cpl)))
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
  module: ModuleBuilder, needs: ExtendedStateNeeds, inUse: FunctionBuilder,
): FunctionBuilder {
  const f = module.function(partSignatures.saveState)
  const [linear, form] = f.parameters as [Local, Local]
  const [wanted, used, written] = [f.local('i32'), f.local('i32'), f.local('i32')]
  const size = f.local('i32')
  const compact = has(form, Form.COMPACT)
  const area = new Area(f, needs, linear)
  emitChecks(f, linear, form)
  f.set(wanted, i32.wrap(requestedBy(form)))
  f.set(used, i32.and(wanted, call(inUse)))
  f.set(written, select(used, wanted, has(form, Form.SKIPS_INITIAL)))
  f.set(size, select(i32.const(AREA.avx + AREA.avxSize), i32.const(AREA.avx),
    has(written, XCR0.AVX)))
  area.reachForWrite(size)

  f.if(has(written, XCR0.X87), () => emitSaveX87(f, area, form))
  f.if(select(has(written, XCR0.SSE), has(wanted, XCR0.SSE | XCR0.AVX), compact), () => {
    area.store(AREA.mxcsr, i64.or(i64.load32U(CORE, Z, at.mxcsr),
      i64.const(BigInt(MXCSR_MASK) << 32n)))
  })
  const saveVectors = (component: number, offset: number, half: number): void =>
    f.if(has(written, component), () => {
      for (const index of REGISTERS) {
        area.storeVector(offset + index * 16, v128.load(CORE, Z, xmmAt(index) + half))
      }
    })
  saveVectors(XCR0.SSE, AREA.xmm, 0)
  saveVectors(XCR0.AVX, AREA.avx, 16)
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

function emitSaveX87(f: FunctionBuilder, area: Area, form: Local): void {
  const top = f.local('i32')
  area.store(0, i64.and(context(at.x87Control), i64.const(X87_WORDS)))
  const pointer = (offset: number, whole: number, selector: number): void => {
    const narrow = i64.or(i64.load32U(CORE, Z, whole),
      i64.shl(i64.extendU(i32.load16U(CORE, Z, selector)), i64.const(32)))
    area.store(offset, select(context(whole), narrow, has(form, Form.WIDE)))
  }
  pointer(AREA.ip, at.x87LastIp, at.x87LastCs)
  pointer(AREA.dp, at.x87LastDp, at.x87LastDs)
  setTop(f, top)
  for (const index of STACK) {
    area.storeVector(AREA.stack + index * 16, v128.load(CORE, stackAt(index, top), at.x87))
  }
}

function buildRestore(module: ModuleBuilder, needs: ExtendedStateNeeds): FunctionBuilder {
  const f = module.function(partSignatures.restoreState)
  const [linear, form] = f.parameters as [Local, Local]
  const [wanted, loaded, mxcsr] = [f.local('i32'), f.local('i32'), f.local('i32')]
  const [present, format] = [f.local('i64'), f.local('i64')]
  const withMxcsr = f.local('i32')
  const area = new Area(f, needs, linear)
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
    const end = i32.const(AREA.avx + AREA.avxSize - 1)
    f.if(has(loaded, XCR0.AVX), () => f.if(i32.eqz(area.isInFirst(end)), () => area.reachSecond()))
  }, () => {
    f.if(i32.or(has(loaded, XCR0.X87 | XCR0.SSE), withMxcsr), () => area.reachFirst())
  })
  f.set(mxcsr, i32.const(MXCSR_DEFAULT))
  f.if(withMxcsr, () => f.set(mxcsr, i32.wrap(area.load(AREA.mxcsr))))
  f.if(has(mxcsr, ~MXCSR_MASK), () => f.return(i32.const(DEFERRED)))

  f.if(has(wanted, XCR0.X87), () => f.if(has(loaded, XCR0.X87),
    () => emitLoadX87(f, area, form), () => emitInitialX87(f)))
  const restoreVectors = (component: number, offset: number, half: number): void => {
    const each = (value: (index: number) => Expression): void => {
      for (const index of REGISTERS) f.store('v128', CORE, Z, value(index), xmmAt(index) + half)
    }
    f.if(has(wanted, component), () => f.if(has(loaded, component),
      () => each((index) => area.loadVector(offset + index * 16)),
      () => each(() => v128.const(0n))))
  }
  restoreVectors(XCR0.SSE, AREA.xmm, 0)
  restoreVectors(XCR0.AVX, AREA.avx, 16)
  f.if(i32.or(withMxcsr, has(wanted, XCR0.SSE)), () => f.store('i32', CORE, Z, mxcsr, at.mxcsr))
  f.return(i32.const(0))
  return f
}

/** Defers for a header that promises what is not there. */
function emitHeaderChecks(
  f: FunctionBuilder, area: Area, form: Local, header: { present: Local, format: Local },
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
  f.if(i64.ne(bad, i64.const(0)), () => f.return(i32.const(DEFERRED)))
}

function emitLoadX87(f: FunctionBuilder, area: Area, form: Local): void {
  const top = f.local('i32')
  f.store('i64', CORE, Z, i64.and(area.load(0), i64.const(X87_LOADED)), at.x87Control)
  const pointer = (offset: number, whole: number, selector: number): void => {
    f.if(has(form, Form.WIDE), () => {
      f.store('i64', CORE, Z, area.load(offset), whole)
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
