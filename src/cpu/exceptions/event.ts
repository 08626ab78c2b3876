/**
 * What exception delivery is asked to deliver, and what its ways through the modes share.
 */
import { pushesErrorCode, Vector } from '../../abi/x86/control.ts'
import { type CoreControlView, Stop } from '../core-memory.ts'
import type { Processor } from '../interfaces.ts'
import { type CpuContextView, flagsOf, RFLAGS } from '../state.ts'

export type EventKind = 'fault' | 'trap' | 'software' | 'external' | 'nmi'

export interface CpuEvent {
  readonly vector: number
  readonly kind: EventKind
  readonly hasErrorCode: boolean
  readonly errorCode?: number
  /** Linear address, for CR2. */
  readonly address?: bigint
  /** Bits that a debug exception sets in DR6. */
  readonly dr6?: number
}

/** Notes an exception of the current instruction in CoreControl, as generated code does. */
export function noteFault(control: CoreControlView, vector: number, errorCode?: number): void {
  control.faultVector = vector
  control.faultErrorCode = errorCode ?? 0
  control.faultHasErrorCode = errorCode === undefined ? 0 : 1
  control.stop = Stop.FAULT
}

/** The exception that was noted. */
export function notedFault(control: CoreControlView): CpuEvent {
  const event = {
    vector: control.faultVector,
    kind: 'fault' as const,
    hasErrorCode: control.faultHasErrorCode !== 0,
    errorCode: control.faultErrorCode,
  }
  switch (event.vector) {
    case Vector.PF: return { ...event, address: control.faultAddress }
    case Vector.DB: return { ...event, dr6: control.debugHits }
    default: return event
  }
}

/** Types of events in the VMCB's EVENTINJ (AMD APM 2, 15.20), from bit 8 on. */
const EXTERNAL = 0
const NMI = 2
const EXCEPTION = 3
const HAS_CODE = 1 << 11
export const EVENT_VALID = 1 << 31

/** Lets an event wait in the context; what it says of CR2 and DR6 stands there already. */
export function keepEvent(context: CpuContextView, event: CpuEvent): void {
  const type = event.kind === 'external' ? EXTERNAL : event.kind === 'nmi' ? NMI : EXCEPTION
  const code = event.hasErrorCode ? HAS_CODE : 0
  context.pendingEvent = (EVENT_VALID | code | type << 8 | event.vector) >>> 0
  context.pendingErrorCode = event.errorCode ?? 0
}

/** The event that waits. */
export function keptEvent({ pendingEvent, pendingErrorCode }: CpuContextView): CpuEvent {
  const type = pendingEvent >>> 8 & 7
  return {
    vector: pendingEvent & 0xff,
    kind: type === EXTERNAL ? 'external' : type === NMI ? 'nmi' : 'fault',
    hasErrorCode: (pendingEvent & HAS_CODE) !== 0,
    errorCode: pendingErrorCode,
  }
}

/** The EXT bit of error codes: the event does not come from INT n, INT3 or INTO. */
export function externalBit(event: CpuEvent): number {
  return event.kind === 'software' ? 0 : 1
}

/** Error code for the event's own entry in the descriptor table. */
export function entryError(event: CpuEvent): number {
  return event.vector << 3 | 2 | externalBit(event)
}

/** RFLAGS as they are pushed: a fault's image has RF set, so that its instruction can go on. */
export function pushedFlags(p: Processor, event: CpuEvent): number {
  const flags = flagsOf(p.context)
  return event.kind === 'fault' && event.vector !== Vector.DB ? flags | RFLAGS.RF : flags
}

export function hasCode(event: CpuEvent): boolean {
  return event.hasErrorCode && (event.kind === 'fault' || pushesErrorCode(event.vector))
}
