/**
 * XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR, XRSTORS (AMD APM 4; APM 2, 11.5).
 *
 * The area is read whole before any register changes, and probed whole before it is written. The
 * components are x87, SSE and AVX; AVX's lies at the same place in both forms of the area. What is
 * usual of this in 64-bit code is fpu/extended-state.ts.
 */
import { CR0, CR4, Vector, XCR0 } from '../../abi/x86/control.ts'
import { DS, RAX, RDX } from '../../abi/x86/registers.ts'
import type { Machine } from '../../isa/machine.ts'
import type { Instruction } from '../../isa/operand.ts'
import { MXCSR_MASK } from '../../isa/x87/image.ts'
import type { Processor, SystemService } from '../interfaces.ts'
import { CpuContext, type CpuContextView, lowWord } from '../state.ts'
import { linearOperand } from './control.ts'
import { requireCpl0 } from './mode.ts'
import { AREA, COMPACT, MXCSR_DEFAULT, X87_INITIAL_CONTROL } from './xsave-area.ts'

export const XCR0_SUPPORTED = XCR0.X87 | XCR0.SSE | XCR0.AVX
const at = CpuContext.offsets
const PAGE_BYTES = 4096

/** The memory operand, as words counted from its start. In 64-bit code they are accessed directly
 * where their page allows it: a word never crosses pages. */
class Area {
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
    const linear = linearOperand(m, p, instruction, 0)
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

/** Components that are not in their initial state, as bits of XCR0 (XINUSE). */
export function componentsInUse(c: CpuContextView): number {
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

function topOf(c: CpuContextView): number {
  return c.x87Status >> 11 & 7
}

/** REX.W: instruction and data pointers of 64 bits rather than 32 with a selector. */
function wide(m: Machine, instruction: Instruction): boolean {
  return m.long && instruction.operandSize === 64
}

function storeX87(c: CpuContextView, area: Area, wideForm: boolean): void {
  const { x87Control: control, x87Status: status, x87Tags: tags, x87LastOpcode: opcode } = c
  area.store(0, BigInt(control) | BigInt(status) << 16n | BigInt(tags) << 32n
    | BigInt(opcode) << 48n)
  if (wideForm) {
    area.store(AREA.ip, c.x87LastIp)
    area.store(AREA.dp, c.x87LastDp)
  } else {
    area.store(AREA.ip, c.x87LastIp & 0xffff_ffffn | BigInt(c.x87LastCs) << 32n)
    area.store(AREA.dp, c.x87LastDp & 0xffff_ffffn | BigInt(c.x87LastDs) << 32n)
  }
  for (let i = 0; i < 8; i++) {
    const register = c.x87.item(topOf(c) + i & 7)
    const { significand, signExponent } = register
    area.store(AREA.stack + i * 16, significand)
    area.store(AREA.stack + 8 + i * 16, BigInt(signExponent))
  }
}

function storeVectors(c: CpuContextView, area: Area, at: number, half: 0 | 2, long: boolean): void {
  const count = long ? 16 : 8
  for (let i = 0; i < count; i++) {
    area.store(at + i * 16, c.vector.get(i * 4 + half))
    area.store(at + i * 16 + 8, c.vector.get(i * 4 + half + 1))
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
  const used = componentsInUse(c)
  const written = form.skipsInitial ? wanted & used : wanted
  const oldBv = form.compact ? 0n : area.load(AREA.components)
  area.probe(0, written & XCR0.AVX ? AREA.avx + AREA.avxSize : AREA.avx)

  if (written & XCR0.X87) storeX87(c, area, wide(m, instruction))
  if (form.compact ? written & XCR0.SSE : wanted & (XCR0.SSE | XCR0.AVX)) {
    area.store(AREA.mxcsr, BigInt(c.mxcsr) | BigInt(MXCSR_MASK) << 32n)
  }
  if (written & XCR0.SSE) storeVectors(c, area, AREA.xmm, 0, m.long)
  if (written & XCR0.AVX) storeVectors(c, area, AREA.avx, 2, m.long)
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

interface Image {
  readonly x87: readonly bigint[]
  readonly sse: readonly bigint[]
  readonly avx: readonly bigint[]
  readonly mxcsr: number
}

function words(area: Area, at: number, count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => area.load(at + i * 8))
}

/** #GP(0) for a header that promises what is not there. */
function checkHeader(p: Processor, area: Area, supervisor: boolean): { bv: number, comp: bigint } {
  const c = p.context
  const allowed = supervisor ? c.xcr0 | c.xss : c.xcr0
  const [bv, comp, ...reserved] = words(area, AREA.components, 8) as [bigint, bigint, ...bigint[]]
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
  const registers = m.long ? 16 : 8
  const image: Image = {
    x87: loaded & XCR0.X87 ? words(area, 0, 20) : [],
    sse: loaded & XCR0.SSE ? words(area, AREA.xmm, registers * 2) : [],
    avx: loaded & XCR0.AVX ? words(area, AREA.avx, registers * 2) : [],
    mxcsr: withMxcsr ? Number(area.load(AREA.mxcsr) & 0xffff_ffffn) : MXCSR_DEFAULT,
  }
  if (image.mxcsr & ~MXCSR_MASK) p.fault(Vector.GP, 0)

  if (wanted & XCR0.X87) restoreX87(c, image.x87, wide(m, instruction))
  if (wanted & XCR0.SSE) restoreVectors(c, image.sse, 0, registers)
  if (wanted & XCR0.AVX) restoreVectors(c, image.avx, 2, registers)
  if (withMxcsr || wanted & XCR0.SSE) c.mxcsr = image.mxcsr
}

/** No words mean the initial state. */
function restoreX87(c: CpuContextView, image: readonly bigint[], wideForm: boolean): void {
  const control = image[0] ?? X87_INITIAL_CONTROL
  c.x87Control = Number(control & 0xffffn)
  c.x87Status = Number(control >> 16n & 0xffffn)
  c.x87Tags = Number(control >> 32n & 0xffn)
  c.x87LastOpcode = Number(control >> 48n & 0x7ffn)
  const ip = image[1] ?? 0n
  const dp = image[2] ?? 0n
  c.x87LastIp = wideForm ? ip : ip & 0xffff_ffffn
  c.x87LastDp = wideForm ? dp : dp & 0xffff_ffffn
  c.x87LastCs = wideForm ? 0 : Number(ip >> 32n & 0xffffn)
  c.x87LastDs = wideForm ? 0 : Number(dp >> 32n & 0xffffn)
  for (let i = 0; i < 8; i++) {
    const register = c.x87.item(topOf(c) + i & 7)
    register.significand = image[4 + i * 2] ?? 0n
    register.signExponent = Number((image[5 + i * 2] ?? 0n) & 0xffffn)
  }
}

function restoreVectors(
  c: CpuContextView, image: readonly bigint[], half: 0 | 2, registers: number,
): void {
  for (let i = 0; i < registers; i++) {
    c.vector.set(i * 4 + half, image[i * 2] ?? 0n)
    c.vector.set(i * 4 + half + 1, image[i * 2 + 1] ?? 0n)
  }
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
