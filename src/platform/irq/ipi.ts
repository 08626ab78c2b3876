/**
 * Which LAPICs an interrupt command reaches (SDM 3A, 10.6; AMD APM 2, 16.5).
 *
 * Left out: SMI. INIT de-assert is ignored, as by all processors with an xAPIC.
 */
import type { Lapic, LapicBus } from './lapic.ts'
import { DELIVER, ICR_ASSERT, ICR_LEVEL, ICR_LOGICAL, REG } from './lapic-state.ts'

/** What an interrupt command can do to a vcpu besides raising a vector. */
export interface ProcessorSignals {
  nmi(vcpu: number): void
  init(vcpu: number): void
  startup(vcpu: number, vector: number): void
  /** The vcpu may have an interrupt to take. */
  raised(vcpu: number): void
}

const SELF = 1
const ALL = 2
const OTHERS = 3

/** The LAPICs of one domain, joined. */
export class ApicBus implements LapicBus {
  readonly lapics: Lapic[] = []
  readonly #signals: ProcessorSignals

  constructor(signals: ProcessorSignals) {
    this.#signals = signals
  }

  send(source: Lapic, command: number, destination: number): void {
    const mode = command >>> 8 & 7
    const lowest = mode === DELIVER.LOWEST
    let chosen: Lapic | undefined
    for (let i = 0; i < this.lapics.length; i++) {
      const target = this.lapics[i]!
      if (!reaches(source, target, command, destination)) continue
      if (!lowest) this.#deliver(target, mode, command)
      else if (!chosen || target.taskPriorityClass < chosen.taskPriorityClass) chosen = target
    }
    if (chosen) this.#deliver(chosen, DELIVER.FIXED, command)
  }

  ended(_source: Lapic, _vector: number): void {
    // Nobody listens: there is no IOAPIC on this bus.
  }

  raised(target: Lapic): void {
    this.#signals.raised(target.vcpu)
  }

  #deliver(target: Lapic, mode: number, command: number): void {
    switch (mode) {
      case DELIVER.FIXED:
        target.raise(command & 0xff, (command & ICR_LEVEL) !== 0)
        return
      case DELIVER.NMI:
        this.#signals.nmi(target.vcpu)
        return
      case DELIVER.INIT:
        if ((command & (ICR_LEVEL | ICR_ASSERT)) === ICR_LEVEL) return
        this.#signals.init(target.vcpu)
        return
      case DELIVER.STARTUP:
        this.#signals.startup(target.vcpu, command & 0xff)
        return
      default:
    }
  }
}

function reaches(source: Lapic, target: Lapic, command: number, destination: number): boolean {
  switch (command >>> 18 & 3) {
    case SELF: return target === source
    case ALL: return true
    case OTHERS: return target !== source
    default:
  }
  const broadcast = source.x2apic ? 0xffff_ffff : 0xff
  if (destination === broadcast) return true
  if (command & ICR_LOGICAL) return isNamed(target, destination)
  return target.physicalId === destination
}

/** Whether a logical destination names the LAPIC. */
function isNamed({ state: { regs }, x2apic }: Lapic, destination: number): boolean {
  const ldr = regs.get(REG.LDR >>> 2)
  if (x2apic) {
    return ldr >>> 16 === destination >>> 16 && (ldr & destination & 0xffff) !== 0
  }
  const own = ldr >>> 24
  const wanted = destination & 0xff
  if (regs.get(REG.DFR >>> 2) >>> 28 === 15) return (own & wanted) !== 0
  return own >>> 4 === wanted >>> 4 && (own & wanted & 15) !== 0
}
