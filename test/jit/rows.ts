/**
 * The rows of instructions of which random programs have any.
 */
import type { Pattern } from '../../src/isa/decode/pattern.ts'
import { allInstructions } from '../../src/isa/instructions/all.ts'
import type { Instruction } from '../../src/isa/operand.ts'
import { x87Services } from '../../src/isa/x87/services.ts'
import { userPatterns } from '../isa/host/generator.ts'

/** Errs in the last place, or stores where the last x87 instruction was. */
export const isInexact =
  /^(fsin|fcos|fsincos|fptan|fpatan|f2xm1|fyl2xp?1?|fnsave|fnstenv)$/

/** Rows whose outcome depends on nothing but registers and memory. */
export const rows = userPatterns(allInstructions).filter(isPlain)
export const rowsIn32Bits = userPatterns(allInstructions, true).filter(isPlain)

function isPlain({ definition, row }: Pattern): boolean {
  const { name, fields } = definition
  return (fields.service === undefined || String(fields.service) in x87Services)
    && !fields.endsBlock && row.properties.string === undefined
    && !/^(push|pop|enter|leave|rd|xlat|maskmov|i?div|int|ud|hlt|sti|cli|loop|j|f?xsave|f?xrstor)/
      .test(name)
}

/** Touches no register with a meaning, and memory only at fixed places. */
export function isHarmless(
  { definition, operands }: Instruction, kept: readonly number[],
): boolean {
  const reachesFar = /^bt/.test(definition.name)
  return operands.every((operand) => {
    switch (operand.kind) {
      case 'gpr': return operand.high || !kept.includes(operand.index)
      case 'memory':
        return operand.base < 0 && operand.index < 0 && !operand.ripRelative && !reachesFar
      case 'xmm': case 'mm': case 'immediate': return true
      default: return operand.kind !== 'relative' && operand.kind !== 'segment'
    }
  })
}
