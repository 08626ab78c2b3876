/**
 * Where the registers of two processors differ.
 */
import type { Cpu } from '../../src/cpu/cpu.ts'
import { flagsOf, RFLAGS } from '../../src/cpu/state.ts'

/** In words, all that a program may change. */
export function registerDifferences(a: Cpu, b: Cpu): string[] {
  const found: string[] = []
  const [mine, its] = [a.context, b.context]
  const compare = (name: string, x: bigint | number, y: bigint | number): void => {
    if (x !== y) found.push(`${name}: ${x.toString(16)} and ${y.toString(16)}`)
  }
  compare('rip', mine.rip, its.rip)
  for (let i = 0; i < 16; i++) compare(`gpr ${i}`, mine.gpr.get(i), its.gpr.get(i))
  compare('flags', flags(a), flags(b))
  for (let i = 0; i < 6; i++) {
    const [one, other] = [mine.segments.item(i), its.segments.item(i)]
    compare(`selector ${i}`, one.selector, other.selector)
    compare(`base of segment ${i}`, one.base, other.base)
    compare(`attributes of segment ${i}`, one.attributes, other.attributes)
  }
  for (let i = 0; i < 64; i++) compare(`vector ${i}`, mine.vector.get(i), its.vector.get(i))
  for (let i = 0; i < 8; i++) {
    compare(`x87 ${i}`, mine.x87.item(i).significand, its.x87.item(i).significand)
    compare(`x87 sign and exponent ${i}`,
      mine.x87.item(i).signExponent, its.x87.item(i).signExponent)
  }
  compare('mxcsr', mine.mxcsr, its.mxcsr)
  compare('cr2', mine.cr2, its.cr2)
  compare('cpl', mine.cpl, its.cpl)
  compare('x87 status', mine.x87Status, its.x87Status)
  compare('x87 tags', mine.x87Tags, its.x87Tags)
  compare('x87 control', mine.x87Control, its.x87Control)
  compare('x87 opcode', mine.x87LastOpcode, its.x87LastOpcode)
  compare('x87 instruction', mine.x87LastIp, its.x87LastIp)
  compare('x87 code', mine.x87LastCs, its.x87LastCs)
  compare('x87 operand', mine.x87LastDp, its.x87LastDp)
  compare('x87 data', mine.x87LastDs, its.x87LastDs)
  return found
}

/** Without RF, which is only looked at where there are breakpoints. */
function flags(cpu: Cpu): number {
  return flagsOf(cpu.context) & ~RFLAGS.RF
}
