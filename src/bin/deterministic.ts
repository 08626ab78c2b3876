/**
 * A machine whose time, randomness and order of events follow from a seed and from what it is told:
 * the same inputs make the same instructions be executed, and the same bytes be written.
 *
 * There is one core, which takes turns with the control domain on the same thread (core/turns.ts),
 * and compiles hot code itself. What comes from outside, as a byte for a console, comes between two
 * turns. docs/decisions/0010-deterministic-machine.md says what is promised.
 */
import { OneByOne } from '../base/one-by-one.ts'
import { SeededRandom } from '../base/seeded-random.ts'
import { ringCount, rung } from '../base/shared/doorbell.ts'
import { VirtualTime } from '../base/virtual-time.ts'
import type { Log } from '../base/log.ts'
import { Core } from '../core/core.ts'
import { TurnBudget, Turns } from '../core/turns.ts'
import { Cpu } from '../cpu/cpu.ts'
import { PolledUpcalls } from '../hypervisor/events/upcall.ts'
import type { Host } from '../hypervisor/host/host.ts'
import { CoreState } from '../hypervisor/host/state.ts'
import type { Cores, CoresOptions } from './cores.ts'
import { realSurroundings, type Surroundings } from './surroundings.ts'
import { type MachineMemory, machineOf, tscOf } from './thread.ts'

/** The time of day at which every deterministic machine starts. */
const START_MS = Date.UTC(2026, 0, 1)
/** Node ends a process in which nothing is waited for. */
const KEEP_ALIVE_MS = 2 ** 30

export interface DeterministicOptions {
  readonly seed: string
  /** Is given the processor, once it is made. */
  readonly observe?: (cpu: Cpu) => void
}

export function deterministicSurroundings(
  log: Log, { seed, observe }: DeterministicOptions,
): Surroundings {
  const time = new VirtualTime(START_MS)
  const random = new SeededRandom(seed)
  const upcalls = new PolledUpcalls()
  const order = new OneByOne()
  const real = realSurroundings(log, 0)
  const {
    coreDumpPath, decompressor, fetchFile, images, keepLog, largeBuffersDropped, readFile,
  } = real.toolstack
  const after = (ms: number, work: () => void): (() => void) => time.after(ms, work)
  return {
    clock: time,
    toolstack: {
      readFile: (path) => order.do(() => readFile(path)),
      fetchFile: (url, limitBytes) => order.do(() => fetchFile(url, limitBytes)),
      decompressor,
      images: { ...images, files: order.files(images.files) },
      largeBuffersDropped,
      coreDumpPath,
      keepLog: (name, bytes) => order.do(() => keepLog(name, bytes)),
      log,
      wallClockMs: () => time.wallClockMs(),
      random: (count) => random.bytes(count),
      schedule: (work) => void after(0, work),
      delay: after,
      listen: () => Promise.reject(new Error('nobody outside may speak to a machine that repeats')),
      openPty: () => undefined,
    },
    now: () => time.now() / 1e6,
    readBelow: (folder, name) => order.do(() => real.readBelow(folder, name)),
    randomWord: () => random.word(),
    watchUpcalls: (vcpu, handler) => upcalls.watch(vcpu, handler),
    startCores: async (memory, _host, options) =>
      new TurnLoop({ memory, time, random, upcalls, order, options, observe }),
  }
}

interface LoopParts {
  readonly memory: MachineMemory
  readonly time: VirtualTime
  readonly random: SeededRandom
  readonly upcalls: PolledUpcalls
  readonly order: OneByOne
  readonly options: CoresOptions
  readonly observe: ((cpu: Cpu) => void) | undefined
}

/** Takes turn after turn, each in a turn of the event loop: what a turn has set in motion, and what
 * comes from outside, is done before the next one. */
class TurnLoop implements Cores {
  readonly #turns: Turns
  readonly #order: OneByOne
  readonly #host: Host
  readonly #failed: (error: Error) => void
  readonly #keepAlive = setInterval(() => {}, KEEP_ALIVE_MS)
  #running = true
  #isAsleep = false
  #waits = false

  constructor({ memory, time, random, upcalls, order, options, observe }: LoopParts) {
    const { host, dispatcher, guests } = machineOf(memory, time)
    const cpu: Cpu = new Cpu({
      machine: memory.machine,
      doorbell: host.core(0).kickWord,
      tsc: tscOf(time, host.state.tscKhz),
      random: () => random.word(),
      hasPorts: false,
      shared: {
        frameUses: host.state.frameUses, tscTold: host.state.tscTold,
        pairLock: host.state.pairLock,
        processor: 0, others: false,
        storing: (machine) => host.frameUses.written(machine >>> 12, 0),
        decoding: (machine) => core.askOthers(machine >>> 12),
      },
      ...options.compiling,
    })
    time.follow(() => cpu.executed)
    const budget = new TurnBudget(time)
    const core: Core = new Core({ index: 0, host, dispatcher, cpu, guests, budget })
    this.#turns = new Turns({ core, time, budget, upcalls })
    this.#order = order
    this.#host = host
    this.#failed = options.failed
    observe?.(cpu)
    time.changed = () => this.#wake()
    setImmediate(() => this.#turn())
  }

  async stop(): Promise<void> {
    this.#running = false
    clearInterval(this.#keepAlive)
    this.#host.kickCore(0)
  }

  #turn(): void {
    if (!this.#running) return
    this.#isAsleep = false
    try {
      // How long the host takes for something must not matter.
      if (!this.#order.isIdle || this.#turns.take()) setImmediate(() => this.#turn())
      else this.#sleep()
    } catch (error) {
      this.#running = false
      clearInterval(this.#keepAlive)
      this.#failed(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Until the core is kicked, or something is to be done later. */
  #sleep(): void {
    this.#isAsleep = true
    if (this.#waits) return
    const { cells } = this.#host.hypervisor
    const doorbell = this.#host.core(0).base + CoreState.offsets.doorbell
    this.#waits = true
    void rung(cells, doorbell, ringCount(cells, doorbell)).then(() => {
      this.#waits = false
      this.#wake()
    })
  }

  #wake(): void {
    if (!this.#isAsleep) return
    this.#isAsleep = false
    setImmediate(() => this.#turn())
  }
}
