/**
 * Files that are kept from one process to the next, each written once and found by what is in it.
 *
 * A file's name says of which version of its writers it is, and so that others need not be opened.
 * The version stands in it again, with a checksum over that and its content; what does not fit is
 * ignored. Files come by renaming, so that several processes may use a folder
 * at once, and the least recently used go when the folder is full. The folder is its user's alone
 * (private-folder.ts): the checksum tells damage, not malice.
 */
import { createHash } from 'node:crypto'
import {
  readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../base/log.ts'
import { openPrivateFolder } from './private-folder.ts'

const MAGIC = Buffer.from('XENOKEPT')
const DIGEST = 32
const HEADER = MAGIC.length + 2 * DIGEST
const SUFFIX = '.kept'
/** Digits of a version in names. */
const PREFIX = 16
/** How much of the limit is left when room was made. */
const LEFT = 3 / 4

export interface KeptFilesOptions {
  readonly folder: string
  /** Of whatever reads and writes the content. */
  readonly version: string
  /** Of all files together. */
  readonly limitBytes: number
  readonly log: Log
}

interface Found {
  readonly name: string
  readonly bytes: number
  readonly usedMs: number
}

function digestOf(...parts: readonly (Uint8Array | string)[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

export class KeptFiles {
  readonly #options: KeptFilesOptions
  readonly #version: Buffer
  readonly #prefix: string
  #bytes: number | undefined

  /** Throws a PrivateFolderError when the folder is not to be used. */
  constructor(options: KeptFilesOptions) {
    openPrivateFolder(options.folder)
    this.#options = options
    this.#version = digestOf(options.version)
    this.#prefix = `${this.#version.toString('hex').slice(0, PREFIX)}-`
  }

  /** Keeps content, and gives its name; undefined when that fails. */
  keep(content: Uint8Array): string | undefined {
    const digest = digestOf(this.#version, content)
    const name = `${this.#prefix}${digest.toString('hex')}`
    const path = this.#pathOf(name)
    const temporary = `${path}.${process.pid}`
    try {
      writeFileSync(temporary, Buffer.concat([MAGIC, this.#version, digest, content]),
        { mode: 0o600 })
      renameSync(temporary, path)
      this.#limit(HEADER + content.length)
      return name
    } catch (error) {
      rmSync(temporary, { force: true })
      this.#options.log.warn(`compiled code cannot be kept: ${(error as Error).message}`)
      return undefined
    }
  }

  /** The content of a name, which counts as used; undefined when it is gone or damaged. */
  read(name: string): Uint8Array | undefined {
    const content = this.#tryContent(name)
    const now = new Date()
    try {
      if (content) utimesSync(this.#pathOf(name), now, now)
    } catch {
      // Another process has removed it since; what was read is good.
    }
    return content
  }

  /** All that is there of this version. What is ignored is said in one line. */
  *all(): Iterable<readonly [name: string, content: Uint8Array]> {
    let ignored = 0
    for (const { name } of this.#found()) {
      if (!name.startsWith(this.#prefix)) continue
      const content = this.#tryContent(name)
      if (content) yield [name, content]
      else ignored += 1
    }
    if (ignored === 0) return
    this.#options.log.warn(`${ignored} files of compiled code in ${this.#options.folder} are`
      + ' damaged or of another version, and ignored')
  }

  #tryContent(name: string): Uint8Array | undefined {
    try {
      return this.#contentOf(readFileSync(this.#pathOf(name)))
    } catch {
      return undefined
    }
  }

  #pathOf(name: string): string {
    return join(this.#options.folder, `${name}${SUFFIX}`)
  }

  #contentOf(file: Buffer): Uint8Array | undefined {
    const version = file.subarray(MAGIC.length, MAGIC.length + DIGEST)
    if (!file.subarray(0, MAGIC.length).equals(MAGIC) || !version.equals(this.#version)) {
      return undefined
    }
    const content = file.subarray(HEADER)
    const digest = file.subarray(MAGIC.length + DIGEST, HEADER)
    return digest.equals(digestOf(this.#version, content)) ? content : undefined
  }

  /** Files, the least recently used first. */
  #found(): Found[] {
    const { folder } = this.#options
    const found: Found[] = []
    for (const file of readdirSync(folder)) {
      if (!file.endsWith(SUFFIX)) continue
      const stat = statSync(join(folder, file), { throwIfNoEntry: false })
      const name = file.slice(0, -SUFFIX.length)
      if (stat) found.push({ name, bytes: stat.size, usedMs: stat.mtimeMs })
    }
    return found.sort((a, b) => a.usedMs - b.usedMs)
  }

  /** Notes what was added, and removes the least recently used when that is too much. */
  #limit(added: number): void {
    const { limitBytes } = this.#options
    this.#bytes = this.#bytes === undefined
      ? this.#found().reduce((sum, { bytes }) => sum + bytes, 0) : this.#bytes + added
    if (this.#bytes <= limitBytes) return
    const found = this.#found()
    let left = found.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const { name, bytes } of found) {
      if (left <= limitBytes * LEFT) break
      rmSync(this.#pathOf(name), { force: true })
      left -= bytes
    }
    this.#bytes = left
  }
}
