/**
 * Fuzz target: damaged file systems and partition tables give StorageError, and soon.
 *
 * `node fuzz/file-systems.ts [runs] [seed]`; short by default. The samples were made by
 * fuzz/samples/make.sh.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import type { FileSystem } from '../src/storage/filesystem/file-system.ts'
import { openFileSystem } from '../src/storage/filesystem/open.ts'
import { readPartitions } from '../src/storage/filesystem/partitions.ts'
import { Volume } from '../src/storage/filesystem/volume.ts'
import { RawStore } from '../src/storage/raw.ts'
import { attempt, boundedFile, damagedCopy, damages } from './samples/damage.ts'

const FILE_LIMIT = 1 << 20
/** Paths that are looked at in one file system: circles of directories have no end. */
const MAX_PATHS = 300

function sample(name: string): Uint8Array {
  const path = join(import.meta.dirname, 'samples', `${name}.img.gz`)
  return new Uint8Array(gunzipSync(readFileSync(path)))
}

/** Where the metadata are in the samples. */
const samples: ReadonlyArray<readonly [string, readonly (readonly [number, number])[]]> = [
  ['ext2', [[1024, 1400], [2048, 2112], [1024 * 4, 1024 * 60]]],
  ['ext4', [[1024, 1400], [2048, 2112], [1024 * 4, 1024 * 60]]],
  ['fat12', [[0, 64], [512, 4096], [4096, 32768]]],
  ['iso', [[32768, 32768 + 2048], [34816, 34816 + 4096], [40960, 90112]]],
  ['gpt', [[440, 512], [512, 604], [1024, 1280]]],
  ['mbr', [[440, 512], [50 * 512 - 512, 50 * 512], [40 * 512, 41 * 512]]],
]

/** Looks at everything that can be reached. */
async function walk(system: FileSystem): Promise<void> {
  const paths = ['/']
  for (let i = 0; i < Math.min(paths.length, MAX_PATHS); i++) {
    const path = paths[i]!
    await attemptPath(async () => {
      const { kind } = await system.linkStat(path)
      if (kind === 'symlink') await system.readLink(path)
      if (kind === 'file') await system.readWhole(path, FILE_LIMIT)
      if (kind !== 'directory') return
      for (const name of await system.readDirectory(path)) paths.push(`${path}/${name}`)
    })
    await attemptPath(async () => { await system.stat(path) })
  }
}

/** One bad path must not hide the others. */
async function attemptPath(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if ((error as Error).name !== 'StorageError') throw error
  }
}

async function tryDisk(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const file = boundedFile('disk', bytes)
  const store = new RawStore(file)
  await attempt(file, async () => {
    const system = await openFileSystem(new Volume(store))
    if (system) await walk(system)
  })
  await attempt(file, async () => {
    for (const { offset, sizeBytes } of (await readPartitions(store))?.partitions ?? []) {
      const system = await openFileSystem(new Volume(store, offset, sizeBytes))
      if (system) await walk(system)
    }
  })
}

async function fuzzFileSystems(runs: number, seed?: number): Promise<void> {
  for (const [name, regions] of samples) {
    const bytes = sample(name)
    const arbitrary = damages(bytes.length, regions)
    await fc.assert(fc.asyncProperty(arbitrary, (damage) => tryDisk(damagedCopy(bytes, damage))),
      { numRuns: runs, ...seed === undefined ? {} : { seed } })
  }
}

if (import.meta.main) {
  const [runs = '500', seed] = process.argv.slice(2)
  await fuzzFileSystems(Number(runs), seed === undefined ? undefined : Number(seed))
  console.log(`file systems: ${runs} runs each`)
}
