/**
 * A machine within the test's own process, and guests of our own in it: as many as a test likes,
 * without a process for each command.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { silentLog } from '../../src/base/log.ts'
import { type Machine, startMachine } from '../../src/bin/machine.ts'
import type { Hotplug } from '../../src/toolstack/domain/hotplug.ts'
import type { DomainSummary } from '../../src/toolstack/domain/libxl.ts'

const PATIENCE_MS = 100_000
const POLL_MS = 50

/** A domain and what it has printed. */
export interface InnerGuest {
  readonly domid: number
  text: string
}

export class InnerMachine {
  readonly #machine: Machine
  readonly #folder = mkdtempSync(join(tmpdir(), 'xenolith-inner-'))
  readonly #failures: Error[]

  private constructor(machine: Machine, failures: Error[]) {
    this.#machine = machine
    this.#failures = failures
  }

  static async start(memoryMib: number, cores = 1): Promise<InnerMachine> {
    const failures: Error[] = []
    const failed = (error: Error) => void failures.push(error)
    const machine = await startMachine({ memoryMib, cores, log: silentLog, failed })
    return new InnerMachine(machine, failures)
  }

  /** Starts a guest; it is left as it is when it ends. */
  async guest(name: string, image: Uint8Array, memoryMib: number): Promise<InnerGuest> {
    const { libxl } = this.#machine
    const kernel = join(this.#folder, name)
    writeFileSync(kernel, image)
    const domid = await libxl.create({
      name, type: 'pvh', kernel, commandLine: '', memoryKib: memoryMib * 1024,
      maxMemoryKib: memoryMib * 1024, vcpus: 1, maxVcpus: 1, tscMode: 0, onPoweroff: 'preserve',
      onReboot: 'preserve', onCrash: 'preserve', onWatchdog: 'preserve', onSoftReset: 'preserve',
    }, { paused: true })
    const guest: InnerGuest = { domid, text: '' }
    const output = (bytes: Uint8Array) => void (guest.text += new TextDecoder().decode(bytes))
    await libxl.attachConsole(domid, { output, closed: () => {} })
    await libxl.unpause(domid)
    return guest
  }

  async domain(domid: number): Promise<DomainSummary | undefined> {
    return (await this.#machine.libxl.list()).find((domain) => domain.domid === domid)
  }

  /** Lets a domain's only VCPU run on one core alone. */
  pin(domid: number, core: number): Promise<void> {
    return this.#machine.libxl.setVcpuAffinity(domid, 0, { hard: [core] })
  }

  /** The core on which it ran last. */
  async coreOf(domid: number): Promise<number | undefined> {
    return (await this.#machine.libxl.vcpus(domid))[0]?.cpu
  }

  /** How many domains there are, the control domain among them. */
  async count(): Promise<number> {
    return (await this.#machine.libxl.list()).length
  }

  /** Physical CPUs and memory that come and go. */
  get hotplug(): Hotplug {
    return this.#machine.libxl.hotplug
  }

  /** Writes a domain's memory and registers into a file of this machine's; answers its path. */
  async dump(domid: number): Promise<string> {
    const path = join(this.#folder, `${domid}.core`)
    await this.#machine.libxl.dumpCore(domid, path)
    return path
  }

  pause(domid: number): Promise<void> {
    return this.#machine.libxl.pause(domid)
  }

  destroy(domid: number): Promise<void> {
    return this.#machine.libxl.destroy(domid)
  }

  /** The hypervisor's log. */
  log(): Promise<string> {
    return this.#machine.libxl.readLog(false)
  }

  /** Waits until something holds; a core that ended is an error at once. */
  async until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    for (let waited = 0; waited < PATIENCE_MS; waited += POLL_MS) {
      if (this.#failures[0]) throw this.#failures[0]
      if (await holds()) return
      await delay(POLL_MS)
    }
    throw new Error(`it does not come to this: ${what}\n${await this.log()}`)
  }

  async stop(): Promise<void> {
    await this.#machine.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
