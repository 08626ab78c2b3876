/**
 * XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR, XRSTORS (AMD APM 4; APM 2, 11.5).
 *
 * The area begins with FXSAVE's image (isa/x87/image.ts). It is read whole before any register
 * changes, and probed whole before it is written. The components are x87, SSE and AVX; AVX's lies
 * at the same place in both forms of the area. What is usual of this in 64-bit code is
 * fpu/extended-state.ts.
 */
import { CR0, CR4, Vector, XCR0 } from '../../abi/x86/control.ts'
import { DS, RAX, RDX } from '../../abi/x86/registers.ts'
import type { Machine } from '../../isa/machine.ts'
import type { Instruction } from '../../isa/operand.ts'
import {
  loadMxcsr, loadX87, loadXmm, type Place, saveMxcsr, saveX87, saveXmm, setX87, setXmm, vectorCount,
  wordsOf,
} from '../../isa/x87/image.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import { CpuContext, type CpuContextView, lowWord } from '../state.ts'
import { requireCpl0 } from './mode.ts'
import { AREA, COMPACT, MXCSR_DEFAULT, X87_INITIAL_CONTROL } from './xsave-area.ts'

export const XCR0_SUPPORTED = XCR0.X87 | XCR0.SSE | XCR0.AVX
const at = CpuContext.offsets
const PAGE_BYTES = 4096

/** The memory operand, as words counted from its start. In 64-bit code they are accessed directly
 * where their page allows it: a word never crosses pages. */
class Area implements Place {
  readonly #machine: Machine
  readonly #processor: Processor
  readonly #segment: number
  readonly #at: bigint
  readonly #width: number
  readonly #page: bigint
  readonly #inPage: number
  /** Where the pages lie for reading and for writing, once they were asked for. */
  readonly #readable: (number | undefined)[] = []
  readonly #writable: (number | undefined)[] = []

  constructor(m: Machine, p: Processor, instruction: Instruction) {
    this.#machine = m
    this.#processor = p
    this.#at = m.effectiveAddress(0)
    const operand = instruction.operands[0]
    this.#segment = operand?.kind === 'memory' ? operand.segment : DS
    this.#width = instruction.addressSize
    const linear = m.linearAddress(0)
    if (linear & 63n) p.fault(Vector.GP, 0)
    this.#page = linear & ~0xfffn
    this.#inPage = Number(linear & 0xfffn)
  }

  #address(offset: number): bigint {
    return BigInt.asUintN(this.#width, this.#at + BigInt(offset))
  }

  /** Where a word lies, or -1 when `Machine` must get at it. */
  #place(offset: number, write: boolean): number {
    const position = this.#inPage + offset
    const number = position >>> 12
    const places = write ? this.#writable : this.#readable
    const page = places[number] ??= this.#placeOfPage(number, write)
    return page < 0 ? -1 : page + (position & 0xfff)
  }

  #placeOfPage(number: number, write: boolean): number {
    const { memory, context } = this.#processor
    if (this.#width !== 64 || !this.#machine.long) return -1
    const linear = BigInt.asUintN(64, this.#page + BigInt(number << 12))
    return memory.place(linear, PAGE_BYTES, write, context.cpl === 3)
  }

  load(offset: number): bigint {
    const place = this.#place(offset, false)
    if (place >= 0) return this.#processor.memory.bytes.getBigUint64(place, true)
    return this.#machine.load(this.#segment, this.#address(offset), 8)
  }

  store(offset: number, value: bigint): void {
    const place = this.#place(offset, true)
    if (place >= 0) this.#processor.memory.bytes.setBigUint64(place, value, true)
    else this.#machine.store(this.#segment, this.#address(offset), 8, value)
  }

  probe(offset: number, size: number): void {
    for (let at = offset; at < offset + size; at += 8) {
      if (this.#place(at, true) >= 0) continue
      this.#machine.probeWrite(this.#segment, this.#address(at), 8)
    }
  }
}

/**
 * Components that are not in their initial state, as bits of XCR0 (XINUSE), MXCSR being part of
 * SSE: so for XGETBV and the compacted form, which else would not bring MXCSR back.
 */
export function componentsInUse(c: CpuContextView): number {
  return registersInUse(c) | (c.mxcsr === MXCSR_DEFAULT ? 0 : XCR0.SSE)
}

/** Those of which a register is not: so for the standard form, which always has MXCSR. */
function registersInUse(c: CpuContextView): number {
  let used = 0
  if (x87InUse(c)) used |= XCR0.X87
  for (let word = 0; word < 128 && used >> 1 !== 3; word++) {
    if (lowWord(c, at.vector + word * 4)) used |= word & 4 ? XCR0.AVX : XCR0.SSE
  }
  return used
}

function x87InUse(c: CpuContextView): boolean {
  if (c.x87Control !== 0x37f || c.x87Status || c.x87Tags || c.x87LastOpcode || c.x87LastIp
    || c.x87LastDp || c.x87LastCs || c.x87LastDs) return true
  for (let i = 0; i < 8; i++) {
    const register = c.x87.item(i)
    if (register.significand || register.signExponent) return true
  }
  return false
}

/** REX.W: instruction and data pointers of 64 bits rather than 32 with a selector. */
function wide(instruction: Instruction): boolean {
  return instruction.operandSize === 64
}

/** The upper halves of the vector registers. */
function saveAvx(m: Machine, c: CpuContextView, area: Area): void {
  for (let i = 0; i < vectorCount(m); i++) {
    area.store(AREA.avx + i * 16, c.vector.get(i * 4 + 2))
    area.store(AREA.avx + i * 16 + 8, c.vector.get(i * 4 + 3))
  }
}

function requireEnabled(p: Processor): void {
  const c = p.context
  if (!(Number(c.cr4) & CR4.OSXSAVE)) p.fault(Vector.UD)
  if (Number(c.cr0) & CR0.TS) p.fault(Vector.NM)
}

function requested(c: CpuContextView, supervisor: boolean): number {
  const mask = (c.gpr.get(RDX) & 0xffff_ffffn) << 32n | c.gpr.get(RAX) & 0xffff_ffffn
  return Number((supervisor ? c.xcr0 | c.xss : c.xcr0) & mask)
}

function save(m: Machine, p: Processor, instruction: Instruction, form: SaveForm): void {
  const c = p.context
  requireEnabled(p)
  if (form.supervisor) requireCpl0(p)
  const area = new Area(m, p, instruction)
  const wanted = requested(c, form.supervisor)
  const used = form.compact ? componentsInUse(c) : registersInUse(c)
  const written = form.skipsInitial ? wanted & used : wanted
  const oldBv = form.compact ? 0n : area.load(AREA.components)
  area.probe(0, written & XCR0.AVX ? AREA.avx + AREA.avxSize : AREA.avx)

  if (written & XCR0.X87) saveX87(m, area, wide(instruction))
  if (form.compact ? written & XCR0.SSE : wanted & (XCR0.SSE | XCR0.AVX)) {
    saveMxcsr(m, area)
  }
  if (written & XCR0.SSE) saveXmm(m, area)
  if (written & XCR0.AVX) saveAvx(m, c, area)
  const keep = form.compact ? 0n : oldBv & ~BigInt(wanted)
  area.store(AREA.components, keep | BigInt(wanted & used))
  if (form.compact) {
    area.store(AREA.format, COMPACT | BigInt(wanted))
  }
}

interface SaveForm {
  readonly compact: boolean
  readonly supervisor: boolean
  readonly skipsInitial: boolean
}

function saving(compact: boolean, supervisor: boolean, skipsInitial: boolean): SystemService {
  const form = { compact, supervisor, skipsInitial }
  return (m, p, instruction) => save(m, p, instruction, form)
}

/** An area with all components in their initial state. */
const INITIAL_AREA = { load: (byte: number) => byte === 0 ? X87_INITIAL_CONTROL : 0n }

/** #GP(0) for a header that promises what is not there. */
function checkHeader(p: Processor, area: Area, supervisor: boolean): { bv: number, comp: bigint } {
  const c = p.context
  const allowed = supervisor ? c.xcr0 | c.xss : c.xcr0
  const [bv, comp, ...reserved] = wordsOf(area, AREA.components, 8) as [bigint, bigint, ...bigint[]]
  const compact = (comp & COMPACT) !== 0n
  const components = comp & ~COMPACT
  let bad = reserved.slice(0, compact ? 6 : 1).some((word) => word !== 0n)
  if (compact) bad ||= (components & ~allowed) !== 0n || (bv & ~components) !== 0n
  else bad ||= supervisor || comp !== 0n || (bv & ~allowed) !== 0n
  if (bad) p.fault(Vector.GP, 0)
  return { bv: Number(bv), comp }
}

function restore(
  m: Machine, p: Processor, instruction: Instruction, supervisor: boolean,
): void {
  const c = p.context
  requireEnabled(p)
  if (supervisor) requireCpl0(p)
  const area = new Area(m, p, instruction)
  const wanted = requested(c, supervisor)
  const { bv, comp } = checkHeader(p, area, supervisor)
  const loaded = wanted & bv
  const withMxcsr = comp ? loaded & XCR0.SSE : wanted & (XCR0.SSE | XCR0.AVX)
  const holding = (component: number) => loaded & component ? area : INITIAL_AREA
  const x87 = loadX87(holding(XCR0.X87))
  const xmm = loadXmm(m, holding(XCR0.SSE))
  const avx = wordsOf(holding(XCR0.AVX), AREA.avx, vectorCount(m) * 2)
  const mxcsr = withMxcsr ? loadMxcsr(m, area) : MXCSR_DEFAULT

  if (wanted & XCR0.X87) setX87(m, x87, wide(instruction))
  if (wanted & XCR0.SSE) setXmm(m, xmm)
  if (wanted & XCR0.AVX) setAvx(c, avx)
  if (withMxcsr || wanted & XCR0.SSE) c.mxcsr = mxcsr
}

function setAvx(c: CpuContextView, words: readonly bigint[]): void {
  words.forEach((word, i) => c.vector.set((i >> 1) * 4 + 2 + (i & 1), word))
}

/** Bytes that the standard form needs for the components of `xcr0`, and the compacted form. */
export function xsaveSize(components: number): number {
  return components & XCR0.AVX ? AREA.avx + AREA.avxSize : AREA.avx
}

export function xsaveComponent(index: number): { size: number, offset: number } {
  return index === 2 ? { size: AREA.avxSize, offset: AREA.avx } : { size: 0, offset: 0 }
}

export const xsaveServices: Readonly<Record<string, SystemService>> = {
  xsave: saving(false, false, false),
  xsaveopt: saving(false, false, true),
  xsavec: saving(true, false, true),
  xsaves: saving(true, true, true),
  xrstor: (m, p, instruction) => restore(m, p, instruction, false),
  xrstors: (m, p, instruction) => restore(m, p, instruction, true),
}
