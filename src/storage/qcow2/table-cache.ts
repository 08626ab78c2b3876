/**
 * Tables of an image in memory: L2 tables and refcount blocks, each a cluster.
 *
 * Nothing in here is newer than the file, but for the moment between a change and its write, so any
 * table may be dropped at any time. Who changes a table looks it up in the same turn.
 */
import type { HostFile } from '../../base/host-file.ts'

const CACHE_BYTES = 16 << 20
const LEAST_TABLES = 32

export class TableCache {
  readonly #file: HostFile
  readonly #clusterBytes: number
  readonly #limit: number
  /** In the order of use, the oldest first. */
  readonly #tables = new Map<number, Promise<DataView>>()
  /** Those of them that have come. */
  readonly #loaded = new Map<number, DataView>()

  constructor(file: HostFile, clusterBytes: number) {
    this.#file = file
    this.#clusterBytes = clusterBytes
    this.#limit = Math.max(LEAST_TABLES, Math.floor(CACHE_BYTES / clusterBytes))
  }

  get(offset: number): Promise<DataView> {
    const known = this.#tables.get(offset)
    const table = known ?? this.#load(offset)
    this.#tables.delete(offset)
    this.#tables.set(offset, table)
    if (!known) {
      const came = (view: DataView): void => {
        if (this.#tables.get(offset) === table) this.#loaded.set(offset, view)
      }
      table.then(came, () => {})
    }
    if (this.#tables.size > this.#limit) {
      const [oldest] = this.#tables.keys()
      this.forget(oldest!)
    }
    return table
  }

  /** A table if it is here; this does not count as use. */
  known(offset: number): DataView | undefined {
    return this.#loaded.get(offset)
  }

  /** Makes known a table that was just written to the file. */
  put(offset: number, table: DataView): void {
    this.#tables.set(offset, Promise.resolve(table))
    this.#loaded.set(offset, table)
  }

  forget(offset: number): void {
    this.#tables.delete(offset)
    this.#loaded.delete(offset)
  }

  clear(): void {
    this.#tables.clear()
    this.#loaded.clear()
  }

  async #load(offset: number): Promise<DataView> {
    const bytes = new Uint8Array(this.#clusterBytes)
    try {
      await this.#file.read(offset, bytes)
    } catch (error) {
      this.#tables.delete(offset)
      throw error
    }
    return new DataView(bytes.buffer)
  }
}

const SECTOR_BYTES = 512

/** Collects which sectors of tables changed, and copies them out as they are at that moment. */
export class ChangedSectors {
  readonly #sectors = new Map<number, Uint8Array>()

  /** `table` begins at `offset` of the file; its bytes around `at` have changed. */
  add(table: DataView, offset: number, at: number): void {
    const start = at - at % SECTOR_BYTES
    const length = Math.min(SECTOR_BYTES, table.byteLength - start)
    const bytes = new Uint8Array(table.buffer, table.byteOffset + start, length)
    this.#sectors.set(offset + start, bytes)
  }

  /** One piece for each run of neighbours, in rising order. */
  pieces(): { at: number, bytes: Uint8Array }[] {
    const pieces: { at: number, bytes: Uint8Array }[] = []
    let run: [number, Uint8Array][] = []
    const finish = (): void => {
      if (run.length === 0) return
      const bytes = new Uint8Array(run.reduce((sum, [, part]) => sum + part.length, 0))
      let to = 0
      for (const [, part] of run) {
        bytes.set(part, to)
        to += part.length
      }
      pieces.push({ at: run[0]![0], bytes })
      run = []
    }
    for (const sector of [...this.#sectors].sort(([a], [b]) => a - b)) {
      const [last] = run.slice(-1)
      if (last && last[0] + last[1].length !== sector[0]) finish()
      run.push(sector)
    }
    finish()
    return pieces
  }
}
