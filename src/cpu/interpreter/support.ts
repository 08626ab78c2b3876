/**
 * Functions of the engine's module that handlers share: finding code, near jumps, segment checks,
 * and arithmetic that WebAssembly has no instruction for.
 */
import {
  call, globalGet, i32, i64, select, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { CR0, CR4, Vector, XCR0 } from '../../abi/x86/control.ts'
import { CS, SS } from '../../abi/x86/registers.ts'
import { CODE_MODE_LONG, CODE_MODE_MASK, coreMap, Stop } from '../core-memory.ts'
import { machineIn } from '../mmu/exec-tlb.ts'
import { CpuContext, RFLAGS, SegmentState } from '../state.ts'
import { emitFirstPlace, emitOtherPlace } from './code-hash.ts'
import {
  controlAt, emitCodePage, loadControl32, loadControl64, loadControlRegister, segmentAt, Z,
} from './core-fields.ts'
import { buildJumpAndNote } from './jump-targets.ts'
import { buildJumpIndirect, buildResolve } from './last-targets.ts'
import { CORE, type EngineParts, MACHINE, partSignatures } from './parts.ts'

/** What the support functions call in turn. */
export interface SupportNeeds {
  readonly stopped: number
  /** (linear i64) -> machine address i64, negative when stopped. */
  readonly execTranslate: FunctionReference
  /** Imported: (machine address i32) -> record i32, or 0 when stopped. */
  readonly decode: FunctionReference
}

/** Builds those parts that neither the MMU nor TypeScript provides. */
export function buildSupport(module: ModuleBuilder, needs: SupportNeeds) {
  const raise = buildRaise(module, needs.stopped)
  const lookUp = buildLookUp(module, needs, raise)
  const jump = buildJump(module, lookUp, raise)
  return {
    raise,
    lookUp,
    jump,
    jumpIndirect: buildJumpIndirect(module, buildJumpAndNote(module, jump)),
    resolve: buildResolve(module, jump),
    nextSlice: buildNextSlice(module),
    segmentLinear: buildSegmentLinear(module, raise),
    divide: buildDivide(module),
    ...buildMulHigh(module),
    mmxCheck: buildMmxCheck(module, raise),
    x87Check: buildX87Check(module, raise),
    enterMmx: buildEnterMmx(module),
    sseCheck: buildSseCheck(module, raise),
    avxCheck: buildAvxCheck(module, raise),
  } satisfies Partial<EngineParts>
}

/** Notes an exception of the current instruction. */
function buildRaise(module: ModuleBuilder, stopped: number): FunctionBuilder {
  const f = module.function(partSignatures.raise)
  const [vector, errorCode, hasErrorCode] = f.parameters
  f.store('i32', CORE, Z, vector!, controlAt('faultVector'))
  f.store('i32', CORE, Z, errorCode!, controlAt('faultErrorCode'))
  f.store('i32', CORE, Z, hasErrorCode!, controlAt('faultHasErrorCode'))
  f.store('i32', CORE, Z, i32.const(Stop.FAULT), controlAt('stop'))
  f.setGlobal(stopped, i32.const(1))
  return f
}

/** How many instructions a region that loops executes until it looks at the doorbell. */
const SLICE = 2000

/** -> i32: what a region is given of so many instructions. */
export function sliceOf(left: Expression): Expression {
  return select(left, i32.const(SLICE), i32.ltS(left, i32.const(SLICE)))
}

function buildNextSlice(module: ModuleBuilder): FunctionBuilder {
  const f = module.function(partSignatures.nextSlice)
  const [budget] = f.parameters
  const left = f.local('i32')
  f.set(left, i32.sub(loadControl32('withheld'), loadControl32('regionReserve')))
  const rings = i32.load(MACHINE, loadControl32('doorbell'))
  f.if(i32.or(rings, i32.eqz(left)), () => f.return(budget!))
  f.set(left, sliceOf(left))
  f.store('i32', CORE, Z, i32.sub(loadControl32('withheld'), left), controlAt('withheld'))
  f.return(i32.add(budget!, left))
  return f
}

/** The record for the code at a linear address. When it cannot be had, the context's rip says where
 * it would have been: the jump has happened, and the fetch faults. */
function buildLookUp(
  module: ModuleBuilder, needs: SupportNeeds, raise: FunctionReference,
): FunctionBuilder {
  const f = module.function(partSignatures.lookUp)
  const [linear] = f.parameters
  const machine = f.local('i32')
  const translated = f.local('i64')
  const page = f.local('i64')
  const entry = f.local('i32')
  const record = f.local('i32')
  f.set(page, i64.and(linear!, i64.const(-4096n)))
  f.if(i64.eq(page, loadControl64('codePageTag')), () => {
    f.set(machine, machineIn(loadControl32('codeMachinePage'), linear!))
  }, () => {
    f.store('i64', CORE, Z, i64.sub(linear!, loadControl64('codeBase')), CpuContext.offsets.rip)
    f.set(translated, call(needs.execTranslate, linear!))
    f.if(i64.ltS(translated, i64.const(0n)), () => {
      // Where there is no memory the fetch reads all ones, which is no instruction.
      f.if(i32.eqz(globalGet(needs.stopped, 'i32')),
        () => f.call(raise, i32.const(Vector.UD), i32.const(0), i32.const(0)))
      f.return(i32.const(0))
    })
    f.set(machine, i32.wrap(translated))
    emitCodePage(f, page, i32.and(machine, i32.const(-4096)))
  })
  f.set(entry, emitFirstPlace(machine))
  const probe = (): void => {
    f.if(i32.eq(i32.load(CORE, entry, coreMap.codeHash), machine), () => {
      f.set(record, i32.load(CORE, entry, coreMap.codeHash + 4))
      f.if(i32.eq(i32.and(record, i32.const(CODE_MODE_MASK)), loadControl32('codeMode')),
        () => f.return(i32.and(record, i32.const(~CODE_MODE_MASK))))
    })
  }
  probe()
  f.set(entry, emitOtherPlace(entry, machine))
  probe()
  f.store('i64', CORE, Z, i64.sub(linear!, loadControl64('codeBase')), CpuContext.offsets.rip)
  f.return(call(needs.decode, machine))
  return f
}

/** A near jump to an instruction pointer. */
function buildJump(
  module: ModuleBuilder, lookUp: FunctionReference, raise: FunctionReference,
): FunctionBuilder {
  const f = module.function(partSignatures.jump)
  const [rip] = f.parameters
  const mode = i32.and(loadControl32('codeMode'), i32.const(3))
  f.if(i32.ne(mode, i32.const(CODE_MODE_LONG)), () => {
    const limit = i64.load32U(CORE, Z, segmentAt(CS) + SegmentState.offsets.limit)
    f.if(i64.gtU(rip!, limit), () => {
      f.store('i64', CORE, Z, rip!, CpuContext.offsets.rip)
      f.call(raise, i32.const(Vector.GP), i32.const(0), i32.const(1))
      f.return(i32.const(0))
    })
    f.return(call(lookUp, i64.and(i64.add(rip!, loadControl64('codeBase')),
      i64.const(0xffff_ffffn))))
  })
  f.return(call(lookUp, rip!))
  return f
}

/** Segmentation outside 64-bit code (AMD APM 2, 4.8 and 4.12): the linear address, or #GP, #SS. */
function buildSegmentLinear(module: ModuleBuilder, raise: FunctionReference): FunctionBuilder {
  const f = module.function(partSignatures.segmentLinear)
  const [segment, offset, size, write] = f.parameters
  const at = f.local('i32')
  const attributes = f.local('i32')
  const last = f.local('i64')
  const limit = f.local('i64')
  const at0 = CpuContext.offsets.segments
  f.set(at, i32.shl(segment!, i32.const(4)))
  f.set(attributes, i32.load16U(CORE, at, at0 + SegmentState.offsets.attributes))
  f.set(limit, i64.load32U(CORE, at, at0 + SegmentState.offsets.limit))
  f.set(last, i64.add(offset!, i64.extendU(i32.sub(size!, i32.const(1)))))
  f.block((fault) => {
    f.brIf(fault, i32.eqz(i32.and(attributes, i32.const(1 << 7))))
    const isCode = i32.and(attributes, i32.const(8))
    f.if(isCode, () => {
      f.brIf(fault, write!)
      f.brIf(fault, i32.eqz(i32.and(attributes, i32.const(2))))
      f.brIf(fault, i64.gtU(last, limit))
    }, () => {
      f.brIf(fault, i32.and(write!, i32.eqz(i32.and(attributes, i32.const(2)))))
      f.if(i32.and(attributes, i32.const(4)), () => {
        const top = select(i64.const(0xffff_ffffn), i64.const(0xffffn),
          i32.and(attributes, i32.const(1 << 10)))
        f.brIf(fault, i64.leU(offset!, limit))
        f.brIf(fault, i64.gtU(last, top))
      }, () => f.brIf(fault, i64.gtU(last, limit)))
    })
    f.return(i64.and(i64.add(offset!, i64.load(CORE, at, at0)), i64.const(0xffff_ffffn)))
  })
  f.call(raise, select(i32.const(Vector.SS), i32.const(Vector.GP), i32.eq(segment!, i32.const(SS))),
    i32.const(0), i32.const(1))
  f.return(i64.const(0n))
  return f
}

/** 128 by 64 bits, in two steps as on paper, with digits of 32 bits (D. Knuth, "The Art of Computer
 * Programming", 4.3.1, algorithm D): an estimate by the divisor's upper digit is too large by two
 * at most. */
function buildDivide(module: ModuleBuilder): FunctionBuilder {
  const f = module.function(partSignatures.divide)
  const [high, low, divisor] = f.parameters as [Local, Local, Local]
  const shift = f.local('i64')
  const [upper, digit, rest, first] = [
    f.local('i64'), f.local('i64'), f.local('i64'), f.local('i64'),
  ]
  const DIGIT = i64.const(32)
  const MASK = i64.const(0xffff_ffffn)
  /** Leaves the next digit of high / divisor, after which the dividend goes on with `following`. */
  const nextDigit = (following: Expression): void => {
    f.set(digit, i64.divU(high, upper))
    f.set(rest, i64.sub(high, i64.mul(digit, upper)))
    f.block((done) => f.loop((again) => {
      const estimate = i64.mul(digit, i64.and(divisor, MASK))
      const isRight = i32.and(i64.leU(digit, MASK),
        i64.leU(estimate, i64.or(i64.shl(rest, DIGIT), following)))
      f.brIf(done, isRight)
      f.set(digit, i64.sub(digit, i64.const(1)))
      f.set(rest, i64.add(rest, upper))
      f.brIf(again, i64.leU(rest, MASK))
    }))
    f.set(high, i64.sub(i64.or(i64.shl(high, DIGIT), following), i64.mul(digit, divisor)))
  }
  // The divisor's highest bit shall be set.
  f.set(shift, i64.clz(divisor))
  f.set(divisor, i64.shl(divisor, shift))
  f.set(upper, i64.shrU(divisor, DIGIT))
  const fromLow = i64.shrU(i64.shrU(low, i64.const(1)), i64.sub(i64.const(63), shift))
  f.set(high, i64.or(i64.shl(high, shift), fromLow))
  f.set(low, i64.shl(low, shift))
  nextDigit(i64.shrU(low, DIGIT))
  f.set(first, digit)
  nextDigit(i64.and(low, MASK))
  f.return(i64.or(i64.shl(first, DIGIT), digit))
  return f
}

/** The upper half of 64 by 64 bits, from 32-bit halves. */
export function buildMulHigh(
  module: ModuleBuilder,
): { mulHighUnsigned: FunctionBuilder, mulHighSigned: FunctionBuilder } {
  const unsigned = module.function(partSignatures.mulHighUnsigned)
  {
    const f = unsigned
    const [a, b] = f.parameters
    const low = i64.const(0xffff_ffffn)
    const s = i64.const(32)
    const lowLow = f.local('i64')
    const middle = f.local('i64')
    const other = f.local('i64')
    f.set(lowLow, i64.mul(i64.and(a!, low), i64.and(b!, low)))
    f.set(middle, i64.add(i64.mul(i64.shrU(a!, s), i64.and(b!, low)), i64.shrU(lowLow, s)))
    f.set(other, i64.add(i64.mul(i64.and(a!, low), i64.shrU(b!, s)), i64.and(middle, low)))
    f.return(i64.add(i64.mul(i64.shrU(a!, s), i64.shrU(b!, s)),
      i64.add(i64.shrU(middle, s), i64.shrU(other, s))))
  }
  const signed = module.function(partSignatures.mulHighSigned)
  {
    const f = signed
    const [a, b] = f.parameters
    const sign = i64.const(63)
    const correction = i64.add(i64.and(i64.shrS(a!, sign), b!), i64.and(i64.shrS(b!, sign), a!))
    f.return(i64.sub(call(unsigned, a!, b!), correction))
  }
  return { mulHighUnsigned: unsigned, mulHighSigned: signed }
}

/** Raises `vector`, which has no error code, and returns. */
function leaveWith(f: FunctionBuilder, raise: FunctionReference, vector: number): void {
  f.call(raise, i32.const(vector), Z, Z)
  f.return()
}

/** What every SSE instruction asks first (AMD APM 2, table 8-10): #UD, then #NM. */
function buildSseCheck(module: ModuleBuilder, raise: FunctionReference): FunctionBuilder {
  const f = module.function(partSignatures.sseCheck)
  const usable = i32.and(loadControlRegister('cr4'), i32.const(CR4.OSFXSR))
  f.if(i32.or(i32.and(loadControlRegister('cr0'), i32.const(CR0.EM)), i32.eqz(usable)),
    () => leaveWith(f, raise, Vector.UD))
  f.if(i32.and(loadControlRegister('cr0'), i32.const(CR0.TS)), () => leaveWith(f, raise, Vector.NM))
  return f
}

/** What x87 instructions ask first (AMD APM 2, table 8-10), where it may be so: #NM, #MF. */
function buildX87Check(module: ModuleBuilder, raise: FunctionReference): FunctionBuilder {
  const f = module.function(partSignatures.x87Check)
  f.if(i32.and(loadControlRegister('cr0'), i32.const(CR0.EM | CR0.TS)),
    () => leaveWith(f, raise, Vector.NM))
  leaveWith(f, raise, Vector.MF)
  return f
}

/** What every AVX instruction asks first (AMD APM 2, table 8-10; APM 4, 1.10): #UD, then #NM. */
function buildAvxCheck(module: ModuleBuilder, raise: FunctionReference): FunctionBuilder {
  const f = module.function(partSignatures.avxCheck)
  const at = CpuContext.offsets
  const has = (word: Expression, bits: number): Expression =>
    i32.eq(i32.and(word, i32.const(bits)), i32.const(bits))
  const virtual = i32.and(i32.load(CORE, Z, at.systemFlags), i32.const(RFLAGS.VM))
  const usable = i32.and(
    i32.and(has(loadControlRegister('cr4'), CR4.OSXSAVE), has(loadControlRegister('cr0'), CR0.PE)),
    i32.and(has(i32.load(CORE, Z, at.xcr0), XCR0.SSE | XCR0.AVX), i32.eqz(virtual)))
  f.if(i32.eqz(usable), () => leaveWith(f, raise, Vector.UD))
  f.if(i32.and(loadControlRegister('cr0'), i32.const(CR0.TS)), () => leaveWith(f, raise, Vector.NM))
  return f
}

/** What every MMX instruction asks first (AMD APM 2, table 8-10): #UD, #NM, #MF. */
function buildMmxCheck(module: ModuleBuilder, raise: FunctionReference): FunctionBuilder {
  const f = module.function(partSignatures.mmxCheck)
  const status = i32.load16U(CORE, Z, CpuContext.offsets.x87Status)
  f.if(i32.and(loadControlRegister('cr0'), i32.const(CR0.EM)), () => leaveWith(f, raise, Vector.UD))
  f.if(i32.and(loadControlRegister('cr0'), i32.const(CR0.TS)), () => leaveWith(f, raise, Vector.NM))
  f.if(i32.and(status, i32.const(1 << 7)), () => leaveWith(f, raise, Vector.MF))
  return f
}

/** What every MMX instruction does to the x87 state (AMD APM 1, 5.9). */
function buildEnterMmx(module: ModuleBuilder): FunctionBuilder {
  const f = module.function(partSignatures.enterMmx)
  const at = CpuContext.offsets
  const status = i32.load16U(CORE, Z, at.x87Status)
  f.store('i32As16', CORE, Z, i32.and(status, i32.const(~(7 << 11))), at.x87Status)
  f.store('i32As8', CORE, Z, i32.const(0xff), at.x87Tags)
  return f
}
