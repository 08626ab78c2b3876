/**
 * Where regions of guests' code are kept, and what they depend on: the sources that they were
 * compiled by, and the size of the machine.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Log } from '../base/log.ts'
import { type KeptRegions } from '../cpu/jit/shape.ts'
import { shapesOfKept } from '../cpu/jit/kept-file.ts'
import { KeptFiles } from '../node/kept-files.ts'

/** As threads are told. */
export interface KeptCode {
  readonly folder: string
  readonly version: string
}

const LIMIT_BYTES = 16 << 20
const FOLDER = 'regions'
/** What decides what becomes of code. */
const SOURCES = ['abi', 'base', 'cpu', 'isa', 'wasm']

/** Regions in a folder of compiled code, by a machine of some size. */
export function keptCodeIn(folder: string, machinePages: number): KeptCode {
  const hash = createHash('sha256')
  for (const source of SOURCES) {
    const root = fileURLToPath(new URL(`../${source}`, import.meta.url))
    const names = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts')).sort()
    for (const name of names) {
      hash.update(`${source}/${name}\n`).update(readFileSync(join(root, name)))
    }
  }
  return {
    folder: join(folder, FOLDER), version: `${hash.digest('hex')} ${machinePages}`,
  }
}

/** The files; undefined when the folder cannot be used, which is logged. */
export function keptFilesOf({ folder, version }: KeptCode, log: Log): KeptFiles | undefined {
  try {
    return new KeptFiles({ folder, version, limitBytes: LIMIT_BYTES, log })
  } catch (error) {
    log.warn(`compiled code is not kept: ${(error as Error).message}`)
    return undefined
  }
}

export function keptRegionsOf(files: KeptFiles): KeptRegions[] {
  return [...files.all()].map(([name, content]) => ({ name, shapes: shapesOfKept(content) }))
}
