/**
 * Delivery of exceptions and interrupts, with the rules for faults on the way: double fault and
 * shutdown (AMD APM 2, 8.2.9).
 *
 * A delivery that faults has changed no register, so that the next event starts from the same
 * state. What is left out: VME redirection, last-branch records.
 */
import { DR7_GD, Vector } from '../../abi/x86/control.ts'
import { TrapOverride } from '../debug.ts'
import { AccessExit, GuestFault, type Processor } from '../interfaces.ts'
import type { CpuContextView } from '../state.ts'
import { isLongMode, isProtected } from '../system/mode.ts'
import { type CpuEvent, keepEvent } from './event.ts'
import { deliverLong } from './long-mode.ts'
import { deliverProtected } from './protected-mode.ts'
import { deliverReal } from './real-mode.ts'

const CONTRIBUTORY = 1 << Vector.DE | 1 << Vector.TS | 1 << Vector.NP | 1 << Vector.SS
  | 1 << Vector.GP | 1 << 21

function isContributory(vector: number): boolean {
  return vector < 32 && (CONTRIBUTORY >> vector & 1) !== 0
}

/** What becomes of `second`, a fault met while `first` was delivered; undefined is shutdown. */
function combine(first: CpuEvent, second: CpuEvent): CpuEvent | undefined {
  if (first.kind !== 'fault') return second
  if (first.vector === Vector.DF) return undefined
  const double = isContributory(first.vector) && isContributory(second.vector)
    || first.vector === Vector.PF
      && (second.vector === Vector.PF || isContributory(second.vector))
  if (!double) return second
  return { vector: Vector.DF, kind: 'fault', hasErrorCode: true, errorCode: 0 }
}

function isDebugException({ vector, kind }: CpuEvent): boolean {
  return vector === Vector.DB && kind !== 'software'
}

/** What waits behind MOV SS comes with the debug exception of the next instruction, as of INT1:
 * one more before the handler's first instruction would use the same IST stack again. */
function takeWaitingCauses(c: CpuContextView): void {
  c.dr.set(6, c.dr.get(6) | BigInt(c.pendingDebug))
  c.pendingDebug = 0
}

/** One attempt; throws GuestFault. Services for INT n use it: their faults are their own. */
export function attemptDelivery(p: Processor, event: CpuEvent): void {
  const c = p.context
  if (!isProtected(c)) deliverReal(p, event)
  else if (isLongMode(c)) deliverLong(p, event)
  else deliverProtected(p, event)
  c.interruptShadow = 0
  if (isDebugException(event)) takeWaitingCauses(c)
  // TF is clear in the handler, and INT n itself ends in no trap.
  p.control.trapOverride = TrapOverride.NO_TRAP
  if (event.kind === 'nmi') c.nmiBlocked = 1
}

/** Side registers of an exception, which stay even if its delivery fails. */
function noteCause(p: Processor, event: CpuEvent): void {
  const c = p.context
  if (event.vector === Vector.PF && event.address !== undefined) c.cr2 = event.address
  if (isDebugException(event)) {
    c.dr.set(6, c.dr.get(6) | BigInt(event.dr6 ?? 0))
    c.dr.set(7, c.dr.get(7) & ~BigInt(DR7_GD))
  }
}

/**
 * Delivers `event`; `context.rip` is what its frame returns to: the instruction itself for faults,
 * the next one for all others. A shutdown leaves the state as it was. 'delivery': a descriptor
 * table or a stack is where there is no memory, or none yet; the event waits in the context.
 */
export function deliver(p: Processor, event: CpuEvent): 'delivered' | 'shutdown' | 'delivery' {
  let current: CpuEvent | undefined = event
  p.context.pendingEvent = 0
  while (current) {
    noteCause(p, current)
    try {
      attemptDelivery(p, current)
      return 'delivered'
    } catch (error) {
      if (error instanceof AccessExit) {
        keepEvent(p.context, event)
        return 'delivery'
      }
      if (!(error instanceof GuestFault)) throw error
      const { vector, errorCode, hasErrorCode } = error
      current = combine(current, { vector, errorCode, hasErrorCode, kind: 'fault' })
    }
  }
  return 'shutdown'
}
