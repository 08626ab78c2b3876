/**
 * One instruction on the reference's state: its semantics or its service, with all repetitions.
 */
import { assert } from '../../base/assert.ts'
import { RCX } from '../../abi/x86/registers.ts'
import type { Instruction } from '../operand.ts'
import { ReferenceBackend } from './reference.ts'
import type { ReferenceState } from './reference-state.ts'

/** A repeat prefix: whether another round follows, once rCX was counted down. */
function repeats(backend: ReferenceBackend, instruction: Instruction): boolean {
  const count = backend.gpr(RCX, instruction.addressSize) - 1n
  backend.setGpr(RCX, instruction.addressSize, count)
  if (count === 0n) return false
  if (instruction.row.properties.string !== 'repe') return true
  return backend.flag('zf') === (instruction.repeat === 0xf3 ? 1n : 0n)
}

/** How a reading finds the routine that is the whole meaning of an instruction. */
export type RunService = (service: string, state: ReferenceState, instruction: Instruction) => void

/**
 * Carries out one instruction and moves rip. Throws ReferenceFault; the state is then as it was,
 * but for the rounds of a repeated string instruction that were complete.
 */
export function runInstruction(
  state: ReferenceState, instruction: Instruction, runService?: RunService,
): void {
  const { definition, operands } = instruction
  if (definition.service) {
    assert(runService, `service ${definition.service} can be run`)
    const next = new ReferenceBackend(state, instruction).nextIp()
    runService(definition.service, state, instruction)
    state.rip = next
    return
  }
  const execute = definition.fields.execute!
  const backend = new ReferenceBackend(state, instruction)
  if (instruction.repeat) {
    if (backend.gpr(RCX, instruction.addressSize) !== 0n) {
      do execute(backend, ...operands)
      while (repeats(backend, instruction))
    }
  } else {
    execute(backend, ...operands)
  }
  backend.finish()
  state.rip = backend.target
}
