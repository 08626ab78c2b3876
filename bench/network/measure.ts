/**
 * TCP of guests: throughput and round trips between two of them, and between one and a server on
 * the host's loopback, through our back-end, bridge and NAT, and through QEMU's virtio-net.
 *
 * Two guests of ours are on one bridge of one host process. Two of QEMU are two processes, joined
 * by a socket as a wire of its own beside its user-mode network.
 */
import { join } from 'node:path'
import { OwnHost, type System } from '../guests/systems.ts'
import type { DeviceOptions } from '../lib/command.ts'
import { GuestConsole } from '../lib/console.ts'
import {
  addProgram, GuestShell, loadVirtio, type MeasuredFiles, scratchFolder, writeConfig,
} from '../lib/guest.ts'
import { cpuSecondsOf } from '../lib/process.ts'
import { measureInTurns, RowTimes } from '../lib/row-times.ts'
import { startHostEnd } from './host-end.ts'

const MEMORY_MIB = 256
const ROW_MS = 300_000
const PORT = 5001
const HOST = '10.0.2.2'
const MIB = 1 << 20

interface NetworkRow {
  readonly what: string
  readonly words: string
  readonly peer: 'guest' | 'host'
  readonly count: number
  readonly isBulk: boolean
}

const rows: readonly NetworkRow[] = [
  { what: 'TCP from guest to guest', words: 'send', peer: 'guest', count: 256 * MIB,
    isBulk: true },
  { what: 'round trips between guests', words: 'echo', peer: 'guest', count: 4000, isBulk: false },
  { what: 'TCP from the guest to the host', words: 'send', peer: 'host', count: 256 * MIB,
    isBulk: true },
  { what: 'TCP from the host to the guest', words: 'receive', peer: 'host', count: 256 * MIB,
    isBulk: true },
  { what: 'round trips between guest and host', words: 'echo', peer: 'host', count: 4000,
    isBulk: false },
]

/** What one row took, by system and round. */
export interface NetworkResult {
  readonly what: string
  readonly count: number
  readonly isBulk: boolean
  readonly times: RowTimes
}

/** Two guests that reach one another; the first asks, the second serves. */
interface Pair {
  readonly shells: readonly [GuestShell, GuestShell]
  /** The second guest's address. */
  readonly peer: string
  readonly pids: readonly number[]
  close(): Promise<void>
}

async function startOurs(system: System, files: MeasuredFiles): Promise<Pair> {
  const host = new OwnHost(system)
  const shells: GuestShell[] = []
  try {
    for (const address of ['10.0.2.31', '10.0.2.32']) {
      const config = writeConfig(`net-${address}`, files, MEMORY_MIB, {
        vifs: [`mac=00:16:3e:00:00:${address.slice(-2)},ip=${address}`],
      })
      const shell = new GuestShell(host.create(config))
      shells.push(shell)
      await shell.ready()
      await shell.run(
        'for i in $(seq 200); do ip route | grep -q default && break; sleep 0.1; done', ROW_MS)
    }
  } catch (error) {
    await host.end()
    throw error
  }
  return {
    shells: [shells[0]!, shells[1]!], peer: '10.0.2.32',
    pids: [host.pid, ...shells.map(({ console }) => console.child.pid!)],
    close: async () => {
      for (const shell of shells) await shell.close()
      await host.end()
    },
  }
}

function qemu(files: MeasuredFiles, options: readonly string[], wire: string): GuestConsole {
  return new GuestConsole('qemu-system-x86_64', [
    '-accel', 'tcg', ...options, '-smp', '1', '-m', String(MEMORY_MIB), '-display', 'none',
    '-nodefaults', '-no-user-config', '-no-reboot', '-serial', 'stdio',
    '-kernel', files.kernel, '-initrd', files.initrd, '-append', 'console=ttyS0 tsc=reliable',
    '-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01',
    '-netdev', `socket,id=n1,${wire}`,
    '-device', `virtio-net-pci,netdev=n1,mac=52:54:00:00:01:${wire.startsWith('l') ? '01' : '02'}`,
  ])
}

async function startQemu({ options }: System, files: MeasuredFiles): Promise<Pair> {
  const { server, port } = await startHostEnd()
  server.close()
  const wires = [`listen=127.0.0.1:${port}`, `connect=127.0.0.1:${port}`]
  const shells: GuestShell[] = []
  for (const [i, wire] of wires.entries()) {
    const shell = new GuestShell(qemu(files, options, wire))
    shells.push(shell)
    await shell.ready()
    await shell.run(`${loadVirtio}; ip link set lo up; ` +
      'ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ' +
      `ip addr add 192.168.9.${i + 1}/24 dev eth1; ip link set eth1 up`, ROW_MS)
  }
  return {
    shells: [shells[0]!, shells[1]!], peer: '192.168.9.2',
    pids: shells.map(({ console }) => console.child.pid!),
    close: async () => {
      for (const shell of shells) await shell.close()
    },
  }
}

/** Measures all rows, on both systems in turns. */
export async function measureNetworks(options: DeviceOptions): Promise<NetworkResult[]> {
  const folder = scratchFolder('network')
  const files = addProgram(options.files, join(import.meta.dirname, 'guest/net.c'), folder)
  const results: NetworkResult[] = rows.map(({ what, count, isBulk }) =>
    ({ what, count, isBulk, times: new RowTimes() }))
  const { server, port } = await startHostEnd()
  try {
    for (let round = 0; round < options.rounds; round++) {
      process.stderr.write(`Round ${round + 1} of ${options.rounds} ...\n`)
      const pairs = new Map<System, Pair>()
      try {
        for (const system of options.systems) {
          pairs.set(system,
            await (system.kind === 'qemu' ? startQemu : startOurs)(system, files))
        }
        await runRows(pairs, port, results)
      } finally {
        for (const pair of pairs.values()) await pair.close()
      }
    }
  } finally {
    server.close()
  }
  return results
}

async function runRows(
  pairs: ReadonlyMap<System, Pair>, port: number, results: readonly NetworkResult[],
): Promise<void> {
  for (const { shells: [, second] } of pairs.values()) {
    await second.run(`(net serve ${PORT} &)`, ROW_MS)
  }
  for (const [index, { words, peer, count }] of rows.entries()) {
    const { what, times } = results[index]!
    const said = await measureInTurns([...pairs].map(([{ name }, pair]) => {
      const place = peer === 'host' ? `${HOST} ${port}` : `${pair.peer} ${PORT}`
      return {
        times, system: name,
        run: () => pair.shells[0].run(`net ${words} ${place} ${count}`, ROW_MS),
        cpuSeconds: () => pair.pids.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0),
      }
    }))
    const failed = said.find((text) => !text.includes('done'))
    if (failed !== undefined) throw new Error(`${what}: ${failed}`)
  }
}
