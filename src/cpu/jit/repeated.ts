/**
 * Repeated string instructions of a region: its code for a round, or for a block of rounds, in a
 * loop. What is known before it holds for the first round only, and after it what held without any.
 */
import { assert } from '../../base/assert.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { Instruction } from '../../isa/operand.ts'
import type { Exits } from '../interpreter/parts.ts'
import { isBlockwise } from '../interpreter/repeat.ts'
import { writeFlags } from './flag-writers.ts'
import type { InstructionExits } from './instruction-exits.ts'
import type { InstructionPlace } from './leaving.ts'

/** Writes it; `emit` writes a round with its ways out. */
export function emitRepeated(
  f: FunctionBuilder, exits: InstructionExits, { definition, row }: Instruction,
  place: InstructionPlace, emit: (exits: Exits) => void,
): void {
  const { flags, facts } = place.path
  const setsFlags = row.properties.string === 'repe'
  if (setsFlags) {
    assert(!flags.isEmpty || !flags.inherited, 'flags were computed where paths met')
    writeFlags(f, flags)
    flags.forgetAll()
  }
  facts.forgetAll()
  f.block((next) => f.loop((again) => emit(isBlockwise(definition)
    ? exits.inBlocks(place, next, again) : exits.inRounds(place, next, again, setsFlags))))
  if (setsFlags) flags.forgetAll()
  facts.parts.clear()
  facts.forgetAll()
}
