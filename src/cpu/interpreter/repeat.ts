/**
 * Repeated string instructions: REP, REPE, REPNE (AMD APM 3, 1.2.6).
 *
 * A handler does one round, or a block of rounds, counts down and starts itself again, so that
 * interrupts are taken in between with the registers as the manuals want them.
 *
 * A round counts as an instruction. Rounds of MOVS and STOS count only where they reach the next
 * page of the target, and at the end: what counts must not depend on how many were done at once.
 */
import { RCX, RDI, RSI } from '../../abi/x86/registers.ts'
import type { Definition } from '../../isa/definition.ts'
import type { Instruction } from '../../isa/operand.ts'
import type { InstructionShape } from './parts.ts'
import type { WasmReading } from './reading/reading.ts'
import type { Value } from './reading/value.ts'

/** Fewer bytes are done as soon singly. */
const LEAST_BYTES = 16
const PAGE = 4096

/** Writes what an instruction does, whether it is repeated or not. */
export function emitExecution(
  m: WasmReading, instruction: Instruction, shape: InstructionShape,
): void {
  if (shape.repeat !== 0) {
    emitRepeated(m, instruction, shape)
    return
  }
  instruction.definition.fields.execute!(m, ...instruction.operands)
  m.finish()
}

function emitRepeated(
  m: WasmReading, instruction: Instruction, shape: InstructionShape,
): void {
  const width = shape.addressSize
  const count = m.gpr(RCX, width)
  m.when(m.isZero(count), () => m.leaveByNext())
  emitBlock(m, instruction, shape, count)
  instruction.definition.fields.execute!(m, ...instruction.operands)
  const left: Value = m.sub(count, m.const(1))
  m.setGpr(RCX, width, left)
  const more = m.isZero(m.isZero(m.zx(left, width)))
  if (instruction.row.properties.string === 'repe') {
    const wanted = shape.repeat === 0xf3 ? m.flag('zf') : m.isZero(m.flag('zf'))
    m.when(m.and(more, wanted), () => m.leaveByAgain(true))
  } else if (isBlockwise(instruction.definition)) {
    m.when(more, () => againInPage(m, instruction))
  } else {
    m.when(more, () => m.leaveByAgain(true))
  }
  m.finish()
}

/** Whether many rounds of a repeated instruction may be done at once. */
export function isBlockwise({ name }: Definition): boolean {
  return name === 'movs' || name === 'stos'
}

/** On with the next round, which may be in the next page of the target. */
function againInPage(m: WasmReading, { operands }: Instruction): void {
  const offset = m.and(m.gpr(RDI, 64), m.const(PAGE - 1))
  m.when(m.lessUnsigned(offset, m.const(operands[0]!.width / 8)), () => m.leaveByAgain(true))
  m.leaveByAgain(false)
}

/** MOVS and STOS upwards where offsets are linear addresses: as many rounds as one block holds. */
function emitBlock(
  m: WasmReading, instruction: Instruction, shape: InstructionShape, count: Value,
): void {
  const { definition, operands } = instruction
  const [target, source] = operands
  const moves = definition.name === 'movs'
  if (!m.movesBlocks || !isBlockwise(definition)) return
  const width = shape.addressSize
  const size = target!.width / 8
  const enough = m.lessUnsigned(m.const(LEAST_BYTES / size - 1), count)
  m.when(m.and(m.isZero(m.flag('df')), enough), () => {
    const done = moves ? m.moveForward(target!, source!, count)
      : m.fillForward(target!, m.read(source!), count)
    m.when(done, () => {
      const bytes = m.mul(done, m.const(size))
      m.setGpr(RDI, width, m.add(m.gpr(RDI, width), bytes))
      if (moves) m.setGpr(RSI, width, m.add(m.gpr(RSI, width), bytes))
      const left = m.sub(count, done)
      m.setGpr(RCX, width, left)
      m.when(left, () => againInPage(m, instruction))
      m.leaveByNext()
    })
  })
}
