/**
 * A guest started under xl, and the same guest under QEMU, so that both can be measured alike.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { GuestFiles } from '../../src/node/guest-files.ts'
import { logName } from '../../src/node/run-folder.ts'
import { GuestConsole } from '../lib/console.ts'
import { GuestShell, root, writeConfig } from '../lib/guest.ts'
import { cpuSecondsOf, type Memory, memoryOf } from '../lib/process.ts'

export const MEMORY_MIB = 256
const MACHINE_MIB = 4096
const END_MS = 20_000
const POLL_MS = 50

/** A guest that boots, or has booted. */
export interface RunningGuest {
  readonly shell: GuestShell
  /** CPU seconds that all its processes took up to now. */
  cpuSeconds(): number
  memory(): Memory
  close(): Promise<void>
}

export type System = 'ours' | 'qemu' | 'qemu max'

const xl = join(root, 'xl')

/** A host process of its own in a folder of its own. */
class OwnHost {
  readonly folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-'))
  readonly environment = { ...process.env, XENOLITH_RUN: this.folder }

  get pid(): number {
    const log = readFileSync(join(this.folder, logName), 'latin1')
    return Number(/pid (\d+)/.exec(log)?.[1])
  }

  async end(): Promise<void> {
    const { pid } = this
    try {
      process.kill(pid, 'SIGTERM')
      for (const end = Date.now() + END_MS; Date.now() < end; await delay(POLL_MS)) {
        process.kill(pid, 0)
      }
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function startOurs(files: GuestFiles): RunningGuest {
  const host = new OwnHost()
  const console = new GuestConsole(
    xl, ['create', '-c', writeConfig('bench', files, MEMORY_MIB)], host.environment)
  return {
    shell: new GuestShell(console),
    cpuSeconds: () => cpuSecondsOf(host.pid) + cpuSecondsOf(console.child.pid!),
    memory: () => memoryOf(host.pid, MACHINE_MIB),
    close: async () => {
      await console.close()
      await host.end()
    },
  }
}

function startQemu(files: GuestFiles, model: readonly string[]): RunningGuest {
  const console = new GuestConsole('qemu-system-x86_64', [
    '-accel', 'tcg', ...model, '-smp', '1', '-m', String(MEMORY_MIB), '-display', 'none',
    '-nodefaults', '-no-user-config', '-net', 'none', '-no-reboot', '-serial', 'stdio',
    '-kernel', files.kernel, '-initrd', files.initrd, '-append', 'console=ttyS0',
  ])
  return {
    shell: new GuestShell(console),
    cpuSeconds: () => cpuSecondsOf(console.child.pid!),
    memory: () => memoryOf(console.child.pid!, MEMORY_MIB),
    close: () => console.close(),
  }
}

export function startGuest(system: System, files: GuestFiles): RunningGuest {
  switch (system) {
    case 'ours': return startOurs(files)
    case 'qemu': return startQemu(files, [])
    case 'qemu max': return startQemu(files, ['-cpu', 'max'])
  }
}

/** Memory of a host process without guests. */
export async function memoryWithoutGuests(): Promise<Memory> {
  const host = new OwnHost()
  try {
    spawnSync(xl, ['list'], { env: host.environment })
    await delay(1000)
    return memoryOf(host.pid, MACHINE_MIB)
  } finally {
    await host.end()
  }
}
