/**
 * Names for addresses of a guest's kernel, from its /proc/kallsyms.
 *
 * The kernel must not be moved (our loader does not). The symbols are taken once by booting the
 * guest, and kept in the cache under the kernel's file name.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { writeWhole } from '../../src/node/cache.ts'
import type { GuestFiles } from '../../src/node/guest-files.ts'
import { bootGuest, scratchFolder, writeConfig } from '../lib/guest.ts'

const COMMAND = "grep -i ' t ' /proc/kallsyms | gzip | base64"
const COMMAND_MS = 120_000

export class Symbols {
  readonly #addresses: BigUint64Array
  readonly #names: readonly string[]

  /** From lines of /proc/kallsyms: address, type, name. */
  constructor(text: string) {
    const entries = text.split('\n').map((line) => line.split(/\s+/))
      .filter((parts) => parts.length >= 3)
      .map((parts) => ({ address: BigInt(`0x${parts[0]}`), name: parts[2]! }))
      .sort((a, b) => a.address < b.address ? -1 : a.address > b.address ? 1 : 0)
    this.#addresses = BigUint64Array.from(entries, ({ address }) => address)
    this.#names = entries.map(({ name }) => name)
  }

  /** The name of the function that `address` lies in. */
  nameOf(address: bigint): string {
    let low = 0
    let high = this.#addresses.length
    while (low < high) {
      const middle = low + high >>> 1
      if (this.#addresses[middle]! <= address) low = middle + 1
      else high = middle
    }
    return low === 0 ? `0x${address.toString(16)}` : this.#names[low - 1]!
  }
}

/** The symbols of the kernel of `files`, from the cache or from a boot. */
export async function ensureSymbols(files: GuestFiles): Promise<Symbols> {
  const path = join(scratchFolder(), `kallsyms-${basename(files.kernel)}.gz`)
  if (!existsSync(path)) {
    process.stderr.write('Booting once for the kernel\'s symbols ...\n')
    writeWhole(path, await captureSymbols(files))
  }
  return new Symbols(gunzipSync(readFileSync(path)).toString('latin1'))
}

/** The symbols of an ELF file. */
export function symbolsOfFile(path: string): Symbols {
  return new Symbols(execFileSync('nm', [path], { encoding: 'utf8' }))
}

async function captureSymbols(files: GuestFiles): Promise<Uint8Array> {
  const guest = await bootGuest(writeConfig('symbols', files), process.env)
  try {
    const text = await guest.run(COMMAND, COMMAND_MS)
    const bytes = Buffer.from(text.replaceAll(/\s/g, ''), 'base64')
    gunzipSync(bytes)
    return bytes
  } finally {
    await guest.close()
  }
}
