/**
 * Disks of guests: throughput and requests by format of the image, through our PV back-end and
 * QEMU's virtio-blk, on images of the same content.
 *
 * A round boots both with a disk of each format and has the same program read and write these past
 * the guest's cache, in turns. Images lie in the host's page cache, so that what is measured is
 * the way from the guest's driver to the file and back.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { guestCpuSeconds, type RunningGuest, startGuest, type System } from '../guests/systems.ts'
import type { DeviceOptions } from '../lib/command.ts'
import {
  addProgram, type BenchDisk, loadVirtio, type MeasuredFiles, scratchFolder,
} from '../lib/guest.ts'
import { measureInTurns, type RowTask, RowTimes } from '../lib/row-times.ts'

const IMAGE_BYTES = 128 << 20
const ROW_MS = 300_000
const KIB = 1024

const diskFormats = ['raw', 'qcow2', 'vhd'] as const
const QEMU_FORMATS = { raw: 'raw', qcow2: 'qcow2', vhd: 'vpc' } as const

interface DiskRow {
  readonly what: string
  readonly words: string
  readonly blockBytes: number
  readonly count: number
  readonly processes: number
}

/** Long enough for the start of a process, some 50 ms, to be a small part. */
const rows: readonly DiskRow[] = [
  { what: 'sequential reads of 1 MiB', words: 'read sequential', blockBytes: KIB * KIB,
    count: 1024, processes: 1 },
  { what: 'sequential writes of 1 MiB, fsync', words: 'write sequential', blockBytes: KIB * KIB,
    count: 512, processes: 1 },
  { what: 'random reads of 4 KiB', words: 'read random', blockBytes: 4 * KIB, count: 8000,
    processes: 1 },
  { what: 'random writes of 4 KiB, fsync', words: 'write random', blockBytes: 4 * KIB,
    count: 8000, processes: 1 },
  { what: 'random reads of 4 KiB, eight at once', words: 'read random', blockBytes: 4 * KIB,
    count: 1000, processes: 8 },
]

/** What one row took on one format, by system and round. */
export interface DiskResult {
  readonly what: string
  readonly format: string
  readonly requests: number
  readonly bytes: number
  readonly times: RowTimes
}

/** Images of the same content in each format, for one system. */
function makeImages(folder: string, system: string): BenchDisk[] {
  const raw = join(folder, 'content')
  if (!existsSync(raw)) writeFileSync(raw, randomBytes(IMAGE_BYTES))
  return diskFormats.map((format) => {
    const path = join(folder, `${system.replaceAll(' ', '-')}.${format}`)
    const qemuFormat = QEMU_FORMATS[format]
    // A VHD's size is that of its geometry, unless it is told not to be.
    const exact = format === 'vhd' ? ['-o', 'force_size=on'] : []
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', qemuFormat, ...exact, raw, path])
    return { path, format, qemuFormat }
  })
}

/** Boots and has the drivers of disks ready; names of devices by format. */
async function boot(
  system: System, files: MeasuredFiles, images: readonly BenchDisk[],
): Promise<RunningGuest> {
  const guest = startGuest(system, files, images)
  try {
    await guest.shell.ready()
    if (system.kind === 'qemu') await guest.shell.run(loadVirtio, ROW_MS)
    return guest
  } catch (error) {
    await guest.close()
    throw error
  }
}

/** Measures all; fails when two systems read different bytes. */
export async function measureDisks(options: DeviceOptions): Promise<DiskResult[]> {
  const folder = scratchFolder('disks')
  const files = addProgram(options.files, join(import.meta.dirname, 'guest/disk.c'), folder)
  const results: DiskResult[] = rows.flatMap(({ what, blockBytes, count, processes }) =>
    diskFormats.map((format) => ({
      what, format, requests: count * processes, bytes: count * processes * blockBytes,
      times: new RowTimes(),
    })))
  for (let round = 0; round < options.rounds; round++) {
    process.stderr.write(`Round ${round + 1} of ${options.rounds} ...\n`)
    const guests = new Map<System, RunningGuest>()
    try {
      for (const system of options.systems) {
        guests.set(system, await boot(system, files, makeImages(folder, system.name)))
      }
      await runRows(guests, results)
    } finally {
      for (const guest of guests.values()) await guest.close()
    }
  }
  return results
}

/** Runs each row on all disks of all guests in turns. */
async function runRows(
  guests: ReadonlyMap<System, RunningGuest>, results: readonly DiskResult[],
): Promise<void> {
  for (const row of rows) {
    const ofRow = results.filter(({ what }) => what === row.what)
    const tasks = ofRow.flatMap((result, disk) => [...guests].map(([system, guest]) =>
      taskOf(row, result, disk, system, guest)))
    const said = await measureInTurns(tasks)
    for (const { what, format, times } of ofRow) {
      const sums = new Set(said.filter((_, i) => tasks[i]!.times === times)
        .map((text) => /sum [0-9a-f]{16}/.exec(text)?.[0] ?? text.trim()))
      if (sums.size > 1) throw new Error(`${what} (${format}): ${[...sums].join(', ')}`)
    }
  }
}

/** A row on one disk of a guest. */
function taskOf(
  { words, blockBytes, count, processes }: DiskRow, { times }: DiskResult, disk: number,
  { name, kind }: System, guest: RunningGuest,
): RowTask {
  const device = `/dev/${kind === 'qemu' ? 'vd' : 'xvd'}${'abc'[disk]}`
  const command = `disk ${device} ${words} ${blockBytes} ${count} ${processes}`
  return {
    times, system: name, run: () => guest.shell.run(command, ROW_MS),
    cpuSeconds: () => guestCpuSeconds(guest),
  }
}
