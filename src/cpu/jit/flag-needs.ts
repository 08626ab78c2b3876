/**
 * Where flags must be computed: before blocks that look at them, that set only some, or that leave
 * the region without setting them: the code of a way out computes what is pending on one way to it.
 *
 * Elsewhere paths may meet with their flags not computed. All that can show them then is leaving
 * the region through its end, and that computes them.
 */
import { effectsOf } from '../../isa/backends/effects.ts'
import type { Instruction } from '../../isa/operand.ts'
import { type Block, type Region, targetsOf } from './region.ts'

const ARITHMETIC = 6

/** What an instruction does to the flags: sets all, none, or something else. */
type Use = 'all' | 'none' | 'some'

function useOf(instruction: Instruction): Use {
  // There may be no round, which leaves all as they are.
  if (instruction.repeat !== 0 && instruction.row.properties.string === 'repe') return 'some'
  const effects = effectsOf(instruction)
  if (!effects) return 'some'
  const read = [...effects.flagsRead].some((letter) => letter !== 'd')
  if (read) return 'some'
  const [last] = instruction.operands.slice(-1)
  // A shift by a constant that is not zero sets its flags.
  const isCertain = last?.kind === 'immediate' && (last.value & 31n) !== 0n
  const written = isCertain ? effects.flagsWritten : effects.flagsAlwaysWritten
  const count = [...written].filter((letter) => letter !== 'd').length
  if (count === ARITHMETIC) return 'all'
  return effects.flagsWritten.size === 0 || count === 0 && isOnlyDirection(effects.flagsWritten)
    ? 'none' : 'some'
}

function isOnlyDirection(flags: ReadonlySet<string>): boolean {
  return flags.size === 1 && flags.has('d')
}

/** Whether a block always ends with leaving the region. */
function leaves(block: Block): boolean {
  return targetsOf(block).every((target) => target.block < 0)
}

/** For each block, whether it needs flags that are computed. */
export function flagNeeds(region: Region): readonly boolean[] {
  const firsts = region.blocks.map(({ instructions }) =>
    instructions.map(({ instruction }) => useOf(instruction)).find((use) => use !== 'none'))
  const needs = firsts.map((use, number) =>
    use === 'some' || use === undefined && leaves(region.blocks[number]!))
  for (let changed = true; changed;) {
    changed = false
    region.blocks.forEach((block, number) => {
      if (needs[number] || firsts[number] !== undefined) return
      if (!targetsOf(block).some((target) => target.block >= 0 && needs[target.block])) return
      needs[number] = true
      changed = true
    })
  }
  return needs
}
