/**
 * Generates handlers: what the interpreter does for an instruction of a shape.
 */
import { i32, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { Instruction } from '../../isa/operand.ts'
import { RecordOperands } from './reading/operand-source.ts'
import type { EngineParts, Exits, InstructionShape } from './parts.ts'
import { loadControl32 } from './core-fields.ts'
import { RECORD_BYTES } from './record.ts'
import { coreFloatState } from './reading/float-state.ts'
import { emitExecution } from './repeat.ts'
import { WasmReading } from './reading/reading.ts'
import { CoreState } from './reading/state-file.ts'
import type { LocalPool } from './reading/value.ts'

/** Where a handler is generated into: `record` holds the record that it is to carry out. */
export interface HandlerPlace {
  readonly target: FunctionBuilder
  readonly record: Local
  readonly exits: Exits
}

/** Writes the handler for instructions shaped like `instruction`. */
export function emitHandler(
  parts: EngineParts, place: HandlerPlace, pool: LocalPool, instruction: Instruction,
  shape: InstructionShape,
): void {
  pool.releaseAll()
  // The reading tells operands apart by identity, and the decoder may share equal ones.
  const operands = instruction.operands.map((operand) => ({ ...operand }))
  const { target, record, exits } = place
  const state = new CoreState(target)
  const source = new RecordOperands(parts, target, record, operands)
  const tables = {
    base: loadControl32('tables'), access: 0,
  }
  const site = { target, tables, state, floats: coreFloatState, operands: source, exits }
  const m = new WasmReading(parts, site, pool, shape)
  emitExecution(m, { ...instruction, operands }, shape)
}

/** What a handler returns that stops, or leaves the instruction to its service: no record has such
 * an address. */
export const STOPPED_AT_RECORD = -1
export const DEFERRED = -2
/** The record is carried out again, and this time did not count. */
export const UNCOUNTED_AGAIN = -3

/** The ways out of a handler that is a function of its own: it returns what comes next. */
export function functionExits(target: FunctionBuilder, record: Local): Exits {
  const leave = (value: Expression): void => target.return(value)
  return {
    next: () => leave(i32.add(record, i32.const(RECORD_BYTES))),
    goTo: (next) => leave(next),
    stop: () => leave(i32.const(STOPPED_AT_RECORD)),
    stopIf: (condition) =>
      target.ifUnlikely(condition, () => leave(i32.const(STOPPED_AT_RECORD))),
    again: (counts) => leave(counts ? record : i32.const(UNCOUNTED_AGAIN)),
    // The loop has noted it before the call.
    noteBudget: () => {},
    defer: () => leave(i32.const(DEFERRED)),
  }
}

