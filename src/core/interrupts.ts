/**
 * Interrupts on their way from a vcpu's LAPIC to the processor: delivered where it is entered if it
 * takes them there, else when it does. What it takes and ends by itself meanwhile, the LAPIC hears
 * of at the exit, before anything is asked of it.
 */
import type { GuestVcpu } from '../guest/guest-type.ts'
import type { CoreProcessor } from './processor.ts'

/** Before a run. */
export function deliverInterrupts(cpu: CoreProcessor, guest: GuestVcpu): void {
  const { context } = cpu
  if (context.nmiPending !== 0 && (context.nmiBlocked | context.pendingEvent) === 0) {
    context.nmiPending = 0
    cpu.injectNmi()
  }
  const vector = guest.pendingVector()
  if (vector >= 0 && !cpu.canTakeInterrupt()) {
    const offered = guest.keeps(vector) ? vector : 0
    cpu.requestWindow(true)
    cpu.ahead.allow(offered, guest.endsQuietly(offered))
    if (offered !== 0) guest.offer(offered)
    return
  }
  if (vector >= 0) {
    guest.accept(vector)
    cpu.injectInterrupt(vector)
  }
  cpu.requestWindow(vector >= 0 && guest.pendingVector() >= 0)
  cpu.ahead.allow(0, guest.endsQuietly(0))
}

/** After a run, before its exit is dealt with. */
export function settleInterrupts({ ahead }: CoreProcessor, guest: GuestVcpu): void {
  const { taken, offered } = ahead
  if (taken !== 0) guest.settle(taken, true)
  else if (offered !== 0) guest.settle(offered, false)
  if (ahead.ended) guest.end()
}

/** Before a run in which nothing is to happen but what the code does. */
export function holdInterrupts(cpu: CoreProcessor): void {
  cpu.requestWindow(false)
  cpu.ahead.allow(0, false)
}
