/**
 * A processor that follows a script instead of a guest's code, for tests of the core's loop.
 *
 * Each run takes the next act, which may look at and change the registers, and answers the exit.
 */
import { CPU_CONTEXT_SIZE, CpuContext, RFLAGS } from '../cpu/state.ts'
import type { Exit, ExitKind } from '../cpu/cpu.ts'
import type { CoreProcessor } from './processor.ts'

export type Act = (cpu: ScriptedCpu, budget: number) => ExitKind

export class ScriptedCpu implements CoreProcessor {
  readonly #bytes = new Uint8Array(CPU_CONTEXT_SIZE)
  readonly context = CpuContext.on(this.#bytes)
  readonly exit: Exit = { kind: 'budget', address: 0, size: 0, value: 0n }
  /** What happened, in order. */
  readonly log: string[] = []
  readonly acts: Act[] = []
  translateTo: (linear: number) => number = () => -1
  readonly memory = {
    reach: (address: bigint): number => this.translateTo(Number(BigInt.asIntN(64, address))),
    nowhere: 0,
  }
  /** An act may set what the processor did by itself. */
  readonly ahead = {
    offered: 0, quietEoi: false, taken: 0, ended: false,
    allow(vector: number, quietEoi: boolean): void {
      Object.assign(this, { offered: vector, quietEoi, taken: 0, ended: false })
    },
  }

  /** How often it ran. */
  runs = 0
  /** Acts are not counted. */
  readonly executed = 0
  #window = false

  run(budget: number): ExitKind {
    if (this.#window && this.canTakeInterrupt()) return 'window'
    this.runs++
    const act = this.acts.shift()
    return act ? act(this, budget) : 'budget'
  }

  complete(value: bigint): void {
    this.log.push(`complete ${value.toString(16)}`)
  }

  retry(): void {
    this.log.push('retry')
  }

  shareBus(shared: boolean): void {
    this.log.push(shared ? 'with others' : 'alone')
  }

  canTakeInterrupt(): boolean {
    return (Number(this.context.systemFlags) & RFLAGS.IF) !== 0
  }

  injectInterrupt(vector: number): void {
    this.log.push(`interrupt ${vector.toString(16)}`)
    this.context.systemFlags &= ~BigInt(RFLAGS.IF)
  }

  injectNmi(): void {
    this.log.push('nmi')
  }

  injectException(vector: number, errorCode?: number): void {
    this.log.push(`exception ${vector} ${errorCode}`)
  }

  requestWindow(on: boolean): void {
    this.#window = on
  }

  loadContext(bytes: Uint8Array, _owner: number, anew: boolean): void {
    this.log.push(anew ? 'load anew' : 'load')
    this.#bytes.set(bytes)
  }

  saveContext(bytes: Uint8Array): void {
    bytes.set(this.#bytes)
  }

  setMemory(): void {
    this.log.push('memory')
  }

  flushTlb(): void {
    this.log.push('flush')
  }

  flushCode(): void {
    this.log.push('flush code')
  }

  forgetCode(machine: number): void {
    this.log.push(`forget code ${machine.toString(16)}`)
  }

  forgetStores(machine: number): void {
    this.log.push(`forget stores ${machine.toString(16)}`)
  }
}

/** An exit with its particulars. */
export function act(
  kind: ExitKind, particulars: Partial<Exit> = {}, before?: (cpu: ScriptedCpu) => void,
): Act {
  return (cpu) => {
    before?.(cpu)
    Object.assign(cpu.exit, { kind, ...particulars })
    return kind
  }
}
