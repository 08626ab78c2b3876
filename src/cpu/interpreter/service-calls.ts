/**
 * Instructions that services carry out: the call, and what becomes of the run loop after it.
 *
 * A service ends by returning, or by throwing; then the instruction did not happen.
 */
import { assert } from '../../base/assert.ts'
import { DR6_BS } from '../../abi/x86/control.ts'
import { CODE_MODE_LONG, Stop } from '../core-memory.ts'
import { TrapOverride } from '../debug.ts'
import { noteFault } from '../exceptions/event.ts'
import type { Processor, Thrown } from '../interfaces.ts'
import { RFLAGS } from '../state.ts'
import { mustStep } from '../stepping.ts'
import { allServices } from '../system/services.ts'
import type { CodeCache } from './code-cache.ts'
import { ServiceResult } from './loop.ts'
import type { MachineAdapter } from './machine-adapter.ts'
import { field } from './record.ts'

const RF = BigInt(RFLAGS.RF)
const MASK32 = 0xffff_ffffn
const MASK64 = 0xffff_ffff_ffff_ffffn

export class ServiceCalls {
  /** What the loop knows of the code that it executes no longer holds. */
  redirected = false
  /** The service asked for an exit. */
  exitRequested = false
  readonly #processor: Processor
  readonly #adapter: MachineAdapter
  readonly #record: DataView
  readonly #code: CodeCache
  readonly #thrown: Thrown

  constructor(
    processor: Processor, adapter: MachineAdapter, core: ArrayBuffer, code: CodeCache,
    thrown: Thrown,
  ) {
    this.#thrown = thrown
    this.#processor = processor
    this.#adapter = adapter
    this.#record = new DataView(core)
    this.#code = code
  }

  /** Carries out the instruction of a record; returns one of ServiceResult. */
  run(record: number): number {
    const { context, control } = this.#processor
    const instruction = this.#code.instructionOf(record)
    const offset = this.#record.getUint16(record + field.pageOffset, true)
    const mask = (control.codeMode & 3) === CODE_MODE_LONG ? MASK64 : MASK32
    const rip = control.codePage + BigInt(offset) - control.codeBase & mask
    const next = rip + BigInt(instruction.length) & mask
    context.rip = next
    this.redirected = false
    this.exitRequested = false
    control.trapOverride = TrapOverride.NONE
    control.taskSwitched = 0
    // The loop lets shadows and RF stand; those before this instruction are over.
    context.interruptShadow = 0
    context.systemFlags &= ~RF
    this.#adapter.begin(instruction, rip, next)
    const routine = allServices[instruction.definition.service!]
    assert(routine, `there is a service ${instruction.definition.service}`)
    try {
      routine(this.#adapter, this.#processor, instruction)
    } catch (error) {
      if (!control.taskSwitched) context.rip = rip
      if (error === this.#thrown.accessExit) return ServiceResult.STOPPED
      if (error !== this.#thrown.fault) throw error
      const { vector, errorCode, hasErrorCode } = this.#thrown.fault
      noteFault(control, vector, hasErrorCode ? errorCode : undefined)
      return ServiceResult.STOPPED
    }
    return this.#whereTo(next)
  }

  #whereTo(next: bigint): number {
    const { context, control } = this.#processor
    if (this.exitRequested) {
      control.stop = Stop.SERVICE
      return ServiceResult.LEAVE
    }
    if (control.trapOverride === TrapOverride.TRAP) context.pendingDebug |= DR6_BS
    const stepping = context.pendingDebug !== 0 || mustStep(this.#processor)
    if (!this.redirected && context.rip === next && !stepping) return ServiceResult.NEXT
    if (!control.windowWanted && !stepping) return ServiceResult.JUMP
    control.stop = Stop.BUDGET
    return ServiceResult.LEAVE
  }
}
