/**
 * A guest on a deterministic machine in this process, what it says, and what it has become.
 */
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { startMachine, type Machine } from '../../src/bin/machine.ts'
import { silentLog } from '../../src/base/log.ts'
import type { Cpu } from '../../src/cpu/cpu.ts'
import { CPU_CONTEXT_SIZE } from '../../src/cpu/state.ts'
import { configOfSettings, type DomainSettings } from '../../src/toolstack/api/settings.ts'
import { specOf } from '../../src/toolstack/domain/spec.ts'

const CHUNK = 16 << 20

export interface RunOptions {
  readonly seed: string
  /** 0 to interpret only. */
  readonly heatLimit: number
  readonly settings: DomainSettings
  readonly memoryMib: number
  /** Is given the processor, before it runs. */
  readonly observe?: (cpu: Cpu, machine: WebAssembly.Memory) => void
}

/** What a run has come to; equal runs have equal ones. */
export interface Outcome {
  readonly console: string
  readonly executed: number
  /** Hashes of the registers, and of the machine's memory. */
  readonly registers: string
  readonly memory: string
}

export class Run implements AsyncDisposable {
  readonly cpu: Cpu
  readonly #machine: Machine
  readonly #write: (text: string) => void
  #said = ''
  #from = 0
  #heard: () => void = () => {}

  private constructor(machine: Machine, cpu: Cpu, write: (text: string) => void) {
    this.#machine = machine
    this.cpu = cpu
    this.#write = write
  }

  /** Makes the guest and starts it. */
  static async start(options: RunOptions): Promise<Run> {
    const { seed, heatLimit, settings, memoryMib } = options
    let cpu: Cpu | undefined
    const machine = await startMachine({
      memoryMib, compiling: { heatLimit }, log: silentLog,
      deterministic: { seed, observe: (made) => { cpu = made } },
      failed: (error) => { throw error },
    })
    const spec = specOf(configOfSettings(settings), resolve)
    if ('refusal' in spec) throw new Error(spec.refusal)
    const { libxl } = machine
    const domid = await libxl.create(spec, { paused: true })
    const decoder = new TextDecoder()
    const session = await libxl.attachConsole(domid, {
      output: (bytes) => {
        run.#said += decoder.decode(bytes, { stream: true })
        run.#heard()
      },
      closed: () => {},
    })
    options.observe?.(cpu!, machine.memory.machine)
    const run = new Run(machine, cpu!, (text) => session.write(new TextEncoder().encode(text)))
    await libxl.unpause(domid)
    return run
  }

  /** Waits until the guest has said something; it has executed nothing since. */
  async expect(text: string): Promise<void> {
    for (;;) {
      const at = this.#said.indexOf(text, this.#from)
      if (at >= 0) {
        this.#from = at + text.length
        return
      }
      await new Promise<void>((heard) => { this.#heard = heard })
    }
  }

  send(text: string): void {
    this.#write(text)
  }

  get outcome(): Outcome {
    const context = new Uint8Array(CPU_CONTEXT_SIZE)
    this.cpu.saveContext(context)
    const memory = createHash('sha1')
    const { buffer } = this.#machine.memory.machine
    for (let at = 0; at < buffer.byteLength; at += CHUNK) {
      memory.update(Uint8Array.from(new Uint8Array(buffer, at, CHUNK)))
    }
    return {
      console: this.#said,
      executed: this.cpu.executed,
      registers: createHash('sha1').update(context).digest('hex'),
      memory: memory.digest('hex'),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine.stop()
  }
}
