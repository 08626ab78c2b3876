/**
 * The emulated machine put together: its memories, the hypervisor on the control thread, the
 * control domain with its xenstored and toolstack, and the cores.
 */
import { NetDriver } from '../backends/net/driver.ts'
import type { Log } from '../base/log.ts'
import { type CpuPolicy, defaultPolicy } from '../cpu/cpuid.ts'
import type { CompilingOptions } from '../cpu/jit/features.ts'
import { openControlDomain } from '../dom0/control-domain.ts'
import type { HypercallGate } from '../dom0/interfaces.ts'
import { ControlGate } from '../hypervisor/domain/control.ts'
import { createControlDomain } from '../hypervisor/domain/lifecycle.ts'
import { Host } from '../hypervisor/host/host.ts'
import type { NodeWish } from '../hypervisor/host/nodes.ts'
import { monotonicNs } from '../node/clock.ts'
import { preferHugePages } from '../node/huge-pages.ts'
import { LocalLibxl } from '../toolstack/domain/local-libxl.ts'
import { LocalClient } from '../xenstore/client.ts'
import { defaultQuota } from '../xenstore/operations.ts'
import { Xenstored } from '../xenstore/xenstored.ts'
import type { DeterministicOptions } from './deterministic.ts'
import { type KeptCode, keptCodeIn } from './kept-code.ts'
import { type NetworkOptions, openNetworks } from './networks.ts'
import { realSurroundings, type Surroundings } from './surroundings.ts'
import { buffersOf, type MachineMemory, machineOf } from './thread.ts'
import { MOST_MIB } from './wishes.ts'

const WASM_PAGE = 65536
const BUFFER_PAGES = 64
const MIB = 1024 * 1024
const TSC_KHZ = 2_000_000

export interface MachineOptions extends NetworkOptions {
  readonly memoryMib?: number
  /** How far memory can be added to, in MiB; unless given, not at all. */
  readonly mostMemoryMib?: number | undefined
  readonly commandLine?: string
  /** Physical CPUs, each a thread. */
  readonly cores?: number
  /** NUMA nodes with all cores and all of the memory; unless given, as the command line says. */
  readonly nodes?: readonly NodeWish[] | undefined
  readonly compiling?: CompilingOptions
  /** What happens follows from a seed, and from what comes from outside. */
  readonly deterministic?: DeterministicOptions | undefined
  /** The folder of compiled code that is kept, if it is. */
  readonly codeCache?: string | undefined
  readonly log: Log
  failed(error: Error): void
}

export interface Machine {
  readonly memory: MachineMemory
  readonly libxl: LocalLibxl
  readonly xenstored: Xenstored
  /** Destroys all domains and stops the cores. */
  stop(): Promise<void>
}

/** The processor is loaded on the control thread only for a deterministic machine, which has it
 * there. */
async function surroundingsOf(
  { deterministic, log }: MachineOptions, { startNs }: MachineMemory,
): Promise<Surroundings> {
  if (!deterministic) return realSurroundings(log, startNs)
  const { deterministicSurroundings } = await import('./deterministic.ts')
  return deterministicSurroundings(log, deterministic)
}

function keptCodeOf(
  { codeCache, compiling: { heatLimit, without = [] } = {}, deterministic }: MachineOptions,
  machinePages: number,
): KeptCode | undefined {
  return codeCache === undefined || deterministic || heatLimit === 0 || without.length > 0
    ? undefined
    : keptCodeIn(codeCache, machinePages)
}

export async function startMachine(options: MachineOptions): Promise<Machine> {
  const memoryMib = options.memoryMib ?? MOST_MIB
  const bytes = (options.mostMemoryMib ?? memoryMib) * MIB
  const pages = bytes / WASM_PAGE
  const machine = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  preferHugePages(machine.buffer)
  const memory: MachineMemory = {
    machine, hypervisor: new SharedArrayBuffer(Host.memorySize(bytes)), startNs: monotonicNs(),
  }
  const surroundings = await surroundingsOf(options, memory)
  const { clock, now, toolstack } = surroundings
  Host.lay(buffersOf(memory), {
    cores: options.cores ?? 1, tscKhz: TSC_KHZ, commandLine: options.commandLine ?? '',
    presentFrames: memoryMib * MIB / 4096, nodes: options.nodes, hwCap: hwCapOf(defaultPolicy),
  }, clock)
  const { host, dispatcher } = machineOf(memory, clock)
  const dom0 = createControlDomain(host, BUFFER_PAGES)
  const gate: HypercallGate = new ControlGate(dom0, dispatcher, BUFFER_PAGES,
    surroundings.watchUpcalls)
  const control = openControlDomain(gate)
  const xenstored = new Xenstored(defaultQuota, options.log)
  const networks = openNetworks(surroundings, options)
  const interfaces = new NetDriver(new LocalClient(xenstored), { control, now, ...toolstack },
    networks, options.log)
  const libxl = new LocalLibxl(control, xenstored, toolstack,
    (domid) => interfaces.counters(domid))
  const cores = await surroundings.startCores(memory, host, {
    log: options.log, compiling: options.compiling ?? {}, kept: keptCodeOf(options, pages),
    failed: (error) => options.failed(error),
  })
  return {
    memory,
    libxl,
    xenstored,
    stop: async () => {
      await libxl.destroyAll()
      interfaces.close()
      await networks.close()
      await cores.stop()
      control.close()
    },
  }
}

/** The words of `hw_caps`, in the order of xen/arch-x86/cpufeatureset.h. */
function hwCapOf({ features }: CpuPolicy): number[] {
  return [
    features['1.edx'], features['1.ecx'], features['80000001.edx'], features['80000001.ecx'],
    features['d1.eax'], features['7.ebx'], features['7.ecx'], features['80000007.edx'],
  ].map((word) => word >>> 0)
}
