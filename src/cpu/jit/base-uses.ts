/**
 * Which registers later memory operands are based on: whether it is of use to note the page of an
 * access is told by them (path-facts.ts).
 *
 * What is said may be too much, where a register changes in between; that costs, and does no harm.
 */
import { RSP } from '../../abi/x86/registers.ts'
import type { Instruction } from '../../isa/operand.ts'
import type { Structure } from './graph.ts'
import { type Region, targetsOf } from './region.ts'

/** In place of a register: what addresses count from in the region. */
export const REGION_BASE = 16

const onStack = new Set(['push', 'pop', 'call', 'ret', 'leave'])

/** As bits, what the memory operands of an instruction are based on alone. */
function basesOf({ definition, operands }: Instruction): number {
  let bases = onStack.has(definition.name) ? 1 << RSP : 0
  for (const operand of operands) {
    if (operand.kind !== 'memory' || operand.index >= 0) continue
    if (operand.ripRelative) bases |= 1 << REGION_BASE
    else if (operand.base >= 0) bases |= 1 << operand.base
  }
  return bases
}

/** With the bases behind an instruction, the register that one of them is made of by it: by a copy,
 * or a sum with a constant. */
function originOf({ definition: { name }, operands }: Instruction, bases: number): number {
  const [target, source] = operands
  if (target?.kind !== 'gpr' || (bases >> target.index & 1) === 0) return 0
  const isCopy = name === 'mov' || name.startsWith('cmov')
  if (source?.kind === 'gpr') return isCopy ? 1 << source.index : 0
  const isBase = name === 'lea' && source?.kind === 'memory' && source.index < 0
  return isBase && source.base >= 0 ? 1 << source.base : 0
}

/** For each instruction of each block, the bases of those behind it, before paths meet. */
export function laterBases(region: Region, structure: Structure): readonly (readonly number[])[] {
  const later: number[][] = region.blocks.map(() => [])
  const whole: (number | undefined)[] = region.blocks.map(() => undefined)
  const visit = (number: number): number => {
    const known = whole[number]
    if (known !== undefined) return known
    const block = region.blocks[number]!
    let bases = 0
    for (const { block: to } of targetsOf(block)) {
      const isInline = to >= 0 && structure.edge(number + 1, to + 1) === 'inline'
      if (isInline && !structure.isLoop[to + 1]) bases |= visit(to)
    }
    for (let index = block.instructions.length - 1; index >= 0; index--) {
      later[number]![index] = bases
      const { instruction } = block.instructions[index]!
      bases |= basesOf(instruction) | originOf(instruction, bases)
    }
    whole[number] = bases
    return bases
  }
  region.blocks.forEach((_, number) => visit(number))
  return later
}
