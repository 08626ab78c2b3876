/**
 * The same guest under xl, in as many ways as are to be compared, and under QEMU, so that all can
 * be measured alike.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { GuestFiles } from '../../src/node/guest-files.ts'
import { logName } from '../../src/node/run-folder.ts'
import { GuestConsole } from '../lib/console.ts'
import { type BenchDisk, GuestShell, root, writeConfig } from '../lib/guest.ts'
import { guardHost } from '../lib/host-guard.ts'
import { cpuSecondsOf, type Memory, memoryOf } from '../lib/process.ts'

const MEMORY_MIB = 256
const MACHINE_MIB = '4096'
const END_MS = 20_000
const POLL_MS = 50
const NAME = 'bench'

/** A guest that boots, or has booted. */
export interface RunningGuest {
  readonly shell: GuestShell
  /** The processes whose CPU time is the guest's. */
  readonly pids: readonly number[]
  memory(): Memory
  /** Where a guest's end leaves a process that can boot it again. */
  readonly reuse?: { readonly host: number, destroy(): Promise<void>, create(): void }
  close(): Promise<void>
}

/** A way to run guests: its name in tables, and its options. */
export interface System {
  readonly name: string
  readonly kind: 'native' | 'qemu' | 'xl'
  /** QEMU's, or those of xl before its command. */
  readonly options: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** The xl of another tree; ours if there is none. */
  readonly xl?: string
  /** 1 unless said otherwise. */
  readonly vcpus?: number
}

const plain = { options: [], environment: {} } as const

export const systems: readonly System[] = [
  { ...plain, name: 'native', kind: 'native' },
  { ...plain, name: 'QEMU', kind: 'qemu' },
  { ...plain, name: 'QEMU max', kind: 'qemu', options: ['-cpu', 'max'] },
  { ...plain, name: 'ours', kind: 'xl' },
]

/**
 * A variant of ours from `NAME: WORD ...`: an environment variable (`NAME=value`), an option of xl
 * (`-…`), or the path of another xl.
 */
export function variantOf(text: string): System {
  const [, name, rest] = /^([^:]+):(.*)$/.exec(text) ?? []
  if (name === undefined) throw new Error(`${text} is not NAME: WORD ...`)
  const words = rest!.split(' ').filter((word) => word !== '')
  const options = words.filter((word) => word.startsWith('-'))
  const settings = words.filter((word) => /^\w+=/.test(word))
  const [xl, other] = words.filter((word) => !options.includes(word) && !settings.includes(word))
  if (other !== undefined) throw new Error(`${text} names two programs`)
  return {
    name, kind: 'xl', options, ...xl === undefined ? {} : { xl },
    environment: Object.fromEntries(settings.map((setting) => {
      const at = setting.indexOf('=')
      return [setting.slice(0, at), setting.slice(at + 1)]
    })),
  }
}

/** A host process of its own in a folder of its own. */
export class OwnHost {
  readonly folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-'))
  readonly environment: NodeJS.ProcessEnv
  readonly #release = guardHost(this.folder, this.folder)
  readonly #xl: string
  readonly #options: readonly string[]

  constructor({ environment, options, xl }: System) {
    this.environment = { ...process.env, ...environment, XENOLITH_RUN: this.folder }
    this.#xl = xl ?? join(root, 'xl')
    this.#options = options
  }

  get pid(): number {
    const log = readFileSync(join(this.folder, logName), 'latin1')
    return Number(/pid (\d+)/.exec(log)?.[1])
  }

  memory(): Memory {
    return memoryOf(this.pid, Number(this.environment['XENOLITH_MEMORY'] ?? MACHINE_MIB))
  }

  run(...words: string[]): void {
    spawnSync(this.#xl, [...this.#options, ...words], { env: this.environment })
  }

  /** `xl create -c`. */
  create(config: string): GuestConsole {
    const words = [...this.#options, 'create', '-c', config]
    return new GuestConsole(this.#xl, words, this.environment)
  }

  async end(): Promise<void> {
    try {
      const { pid } = this
      process.kill(pid, 'SIGTERM')
      for (const end = Date.now() + END_MS; Date.now() < end; await delay(POLL_MS)) {
        process.kill(pid, 0)
      }
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended, or never begun.
    }
    rmSync(this.folder, { recursive: true, force: true })
    this.#release()
  }
}

class XlGuest implements RunningGuest {
  readonly #host: OwnHost
  readonly #config: string
  shell: GuestShell

  constructor(system: System, files: GuestFiles, disks: readonly BenchDisk[]) {
    this.#host = new OwnHost(system)
    const { vcpus = 1 } = system
    this.#config = writeConfig(`${NAME}-${vcpus}`, files, MEMORY_MIB, { vcpus, disks })
    this.shell = this.#start()
  }

  #start(): GuestShell {
    return new GuestShell(this.#host.create(this.#config))
  }

  get pids(): number[] {
    return [this.#host.pid, this.shell.console.child.pid!]
  }

  memory(): Memory {
    return this.#host.memory()
  }

  get reuse(): { host: number, destroy(): Promise<void>, create(): void } {
    return {
      host: this.#host.pid,
      destroy: async () => {
        await this.shell.close()
        this.#host.run('destroy', basename(this.#config, '.cfg'))
      },
      create: () => void (this.shell = this.#start()),
    }
  }

  async close(): Promise<void> {
    await this.shell.close()
    await this.#host.end()
  }
}

function startQemu(
  files: GuestFiles, options: readonly string[], disks: readonly BenchDisk[],
): RunningGuest {
  const console = new GuestConsole('qemu-system-x86_64', [
    '-accel', 'tcg', ...options, '-smp', '1', '-m', String(MEMORY_MIB), '-display', 'none',
    '-nodefaults', '-no-user-config', '-net', 'none', '-no-reboot', '-serial', 'stdio',
    '-kernel', files.kernel, '-initrd', files.initrd, '-append',
    // A busy machine would have the guest distrust the TSC and read a slow clock.
    'console=ttyS0 tsc=reliable',
    ...disks.flatMap(({ path, qemuFormat }, i) => [
      '-drive', `file=${path},format=${qemuFormat},if=none,id=d${i}`,
      '-device', `virtio-blk-pci,drive=d${i}`,
    ]),
  ])
  const pid = console.child.pid!
  return {
    shell: new GuestShell(console), pids: [pid], memory: () => memoryOf(pid, MEMORY_MIB),
    close: () => console.close(),
  }
}

export function startGuest(
  system: System, files: GuestFiles, disks: readonly BenchDisk[] = [],
): RunningGuest {
  return system.kind === 'xl'
    ? new XlGuest(system, files, disks) : startQemu(files, system.options, disks)
}

/** CPU seconds that all processes of a guest took up to now. */
export function guestCpuSeconds({ pids }: RunningGuest): number {
  return pids.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0)
}

/** Memory of a host process without guests. */
export async function memoryWithoutGuests(system: System): Promise<Memory> {
  const host = new OwnHost(system)
  try {
    host.run('list')
    await delay(1000)
    return host.memory()
  } finally {
    await host.end()
  }
}
