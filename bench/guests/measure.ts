/**
 * Whole guests: boot to the shell, memory there, and commands at the shell, under xl and QEMU.
 */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { GuestFiles } from '../../src/node/guest-files.ts'
import { bootGuest, BOOT_MS, root, scratchFolder, writeConfig } from '../lib/guest.ts'
import type { Memory } from '../lib/process.ts'
import type { Counts } from '../profile/counts.ts'
import { MEMORY_MIB, memoryWithoutGuests, startGuest, type System } from './systems.ts'

const SETTLE_MS = 700

/** What is run at the shell, by name. */
export const commands = {
  loop: 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done',
  fork: 'i=0; while [ $i -lt 250 ]; do /bin/true; i=$((i+1)); done',
  pipe: 'dd if=/dev/zero bs=512 count=20000 2>/dev/null | cat >/dev/null',
  sha256sum: 'dd if=/dev/zero bs=64k count=192 2>/dev/null | sha256sum >/dev/null',
  gzip: 'gzip -c /bin/busybox >/dev/null',
  awk: "awk 'BEGIN { for (i = 0; i < 120000; i++) s += i * 1.5 / 7; print s }' >/dev/null",
  sort: 'seq 1 30000 | sort -n -r >/dev/null',
} as const

export type CommandName = keyof typeof commands

export interface GuestResult {
  readonly system: System
  /** By round. */
  readonly bootCpu: number[]
  readonly bootWall: number[]
  readonly memory: Memory[]
  /** CPU seconds by round. */
  readonly commands: Record<CommandName, number[]>
}

export interface GuestResults {
  readonly systems: readonly GuestResult[]
  readonly withoutGuests: readonly Memory[]
  /** Instructions of a boot, as our processor counts them. */
  readonly bootInstructions: number
}

export interface GuestOptions {
  readonly rounds: number
  readonly systems: readonly System[]
  readonly commands: boolean
  readonly files: GuestFiles
}

const names = Object.keys(commands) as CommandName[]

function emptyResult(system: System): GuestResult {
  const timesByName = Object.fromEntries(names.map((name) => [name, [] as number[]]))
  return {
    system, bootCpu: [], bootWall: [], memory: [],
    commands: timesByName as Record<CommandName, number[]>,
  }
}

async function measureOne(result: GuestResult, options: GuestOptions): Promise<void> {
  const start = performance.now()
  const guest = startGuest(result.system, options.files)
  try {
    await guest.shell.ready()
    result.bootWall.push((performance.now() - start) / 1000)
    result.bootCpu.push(guest.cpuSeconds())
    await delay(SETTLE_MS)
    result.memory.push(guest.memory())
    for (const name of options.commands ? names : []) {
      const before = guest.cpuSeconds()
      await guest.shell.run(commands[name], BOOT_MS)
      result.commands[name].push(guest.cpuSeconds() - before)
    }
  } finally {
    await guest.close()
  }
}

/** Boots once with the profile's counters. */
async function countBoot(files: GuestFiles): Promise<number> {
  const path = join(scratchFolder(), `boot-${process.pid}.json`)
  const guest = await bootGuest(writeConfig('count', files, MEMORY_MIB), {
    ...process.env, XENOLITH_PROFILE: path, XENOLITH_PROFILE_EVERY: '1000000',
    NODE_OPTIONS: `--import ${join(root, 'bench/profile/preload.ts')}`,
  })
  try {
    await delay(SETTLE_MS)
    return (JSON.parse(readFileSync(path, 'utf8')) as Counts).instructions
  } finally {
    await guest.close()
    rmSync(path, { force: true })
  }
}

export async function measureGuests(options: GuestOptions): Promise<GuestResults> {
  const systems = options.systems.map((system) => emptyResult(system))
  const withoutGuests: Memory[] = []
  const bootInstructions = await countBoot(options.files)
  for (let round = 0; round < options.rounds; round++) {
    process.stderr.write(`Guests, round ${round + 1} of ${options.rounds} ...\n`)
    withoutGuests.push(await memoryWithoutGuests())
    for (const result of systems) await measureOne(result, options)
  }
  return { systems, withoutGuests, bootInstructions }
}
