/**
 * A core's thread: makes its view of the machine, a processor, and runs vcpus until told to stop or
 * taken offline.
 *
 * It shares nothing with the control thread but the machine's two memories and one stop word.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { Core } from '../core/core.ts'
import { Cpu } from '../cpu/cpu.ts'
import type { Spared } from '../cpu/engine.ts'
import { CoreState } from '../hypervisor/host/state.ts'
import { HostClock } from '../node/clock.ts'
import { giveBackGarbage, giveBackPages } from '../node/garbage.ts'
import { randomWord } from '../node/random.ts'
import { threadName } from '../node/threads.ts'
import { CompilerPort } from './compiler-port.ts'
import { keptFilesOf, keptRegionsOf } from './kept-code.ts'
import { type CoreMessage, type CoreStart, machineOf, tscOf } from './thread.ts'

/** A microsecond or so of instructions: asking again within it would be most of the work. */
const TSC_WINDOW = 1000

const start = workerData as CoreStart
assert(parentPort, 'a core runs in a worker')
const control = parentPort

function tell(message: CoreMessage): void {
  control.postMessage(message)
}

function warn(line: string): void {
  tell({ kind: 'log', line })
}

const clock = new HostClock(start.memory.startNs)
const { host, dispatcher, guests } = machineOf(start.memory, clock)
const files = start.kept && keptFilesOf(start.kept, { info: warn, warn, error: warn })
const others = host.state.coreCount > 1
const cpu: Cpu = new Cpu({
  machine: start.memory.machine,
  doorbell: host.core(start.index).kickWord,
  tsc: tscOf(clock, host.state.tscKhz),
  tscWindow: TSC_WINDOW,
  random: randomWord,
  hasPorts: false,
  ...start.compiling,
  shared: {
    frameUses: host.state.frameUses, tscTold: host.state.tscTold,
    pairLock: host.state.pairLock,
    processor: start.index, others,
    storing: (machine) => host.frameUses.written(machine >>> 12, start.index),
    decoding: (machine) => core.askOthers(machine >>> 12),
  },
  compiler: new CompilerPort(start.compiler, () => tell({ kind: 'compile' })),
  ...files ? { kept: keptRegionsOf(files) } : {},
  giveBackPages,
})
const spare = {
  held: () => cpu.code.bytes,
  giveBack: (what: Spared) => {
    cpu.giveBack(what)
    giveBackGarbage()
  },
}
const core: Core = new Core({ index: start.index, host, dispatcher, cpu, guests, spare })
const stop = new Int32Array(start.stop)
const { cells } = host.hypervisor
const online = host.core(start.index).base + CoreState.offsets.online >>> 2
tell({ kind: 'ready', thread: threadName() })
core.run(() => Atomics.load(stop, 0) !== 0 || Atomics.load(cells, online) === 0)
