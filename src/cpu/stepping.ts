/**
 * One instruction at a time: when the processor goes so, and the debug exceptions before and after
 * an instruction (AMD APM 2, 13.1).
 */
import { DR6_BS, Vector } from '../abi/x86/control.ts'
import { BREAKPOINTS, instructionHits, TrapOverride, Watching } from './debug.ts'
import { noteFault } from './exceptions/event.ts'
import type { Processor } from './interfaces.ts'
import { RFLAGS, Shadow, systemFlagsOf } from './state.ts'

type Observed = Pick<Processor, 'context' | 'control'>

/** The processor goes instruction by instruction: for traps after it, shadows before it, answers
 * for it. */
export function mustStep({ context, control }: Observed): boolean {
  return (systemFlagsOf(context) & RFLAGS.TF) !== 0 || control.replayCount > 0
    || (control.watching & BREAKPOINTS) !== 0
    || (context.interruptShadow !== 0 && control.windowWanted !== 0)
}

/** An instruction breakpoint stands here: the fault is noted. */
export function stopsHere({ control, context }: Observed): boolean {
  if (!(control.watching & Watching.EXECUTE) || control.replayCount > 0) return false
  const hits = instructionHits(context, context.rip + control.codeBase)
  if (hits === 0) return false
  noteFault(control, Vector.DB)
  control.debugHits = hits
  return true
}

/** The traps that an instruction ends in; `stepping` when TF was set before it. MOV SS holds off
 * its step's, and defers others. */
export function noteTraps({ control, context }: Observed, stepping: boolean): void {
  const { trapOverride } = control
  const traced = trapOverride === TrapOverride.NONE ? stepping : trapOverride === TrapOverride.TRAP
  context.pendingDebug |= control.debugHits
  if (traced && context.interruptShadow !== Shadow.MOV_SS) context.pendingDebug |= DR6_BS
}
