/**
 * Debian packages through the machine's own apt client, without root.
 *
 * apt keeps its lists and downloads in a folder of ours, so that neither root nor an earlier
 * `apt-get update` is needed; sources, keys, proxies and preferences are the machine's. Packages
 * are looked for and unpacked, never installed.
 */
import { spawn } from 'node:child_process'
import {
  createWriteStream, existsSync, readdirSync, renameSync, rmSync, writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { madeFolder } from './cache.ts'
import { type CommandResult, runCommand } from './command.ts'

/** Thrown when a package cannot be had; the message says what the user can do. */
export class PackageError extends Error {
  override readonly name = 'PackageError'
}

export interface PackageInfo {
  readonly name: string
  readonly version: string
  readonly sizeBytes: number
  /** The names it depends on, alternatives included, in order. */
  readonly depends: readonly string[]
}

/** Called at the begin of a step that may take a while. */
export type Progress = (step: string) => void

/** The processor of the guests, whatever the machine's own is. */
const ARCHITECTURE = 'amd64'
const TOOLS = ['apt-get', 'apt-cache', 'dpkg-deb', 'tar'] as const

/** An apt client with its state in a folder of its own; dispose of it with `close`. */
export class Apt {
  readonly #folder: string
  readonly #config: string
  readonly #progress: Progress
  #updated = false

  /** `folder` is made here and removed by `close`. */
  constructor(folder: string, progress: Progress) {
    this.#folder = folder
    this.#progress = progress
    this.#config = join(folder, 'apt.conf')
    madeFolder(folder, 'state', 'lists', 'partial')
    madeFolder(folder, 'cache', 'archives', 'partial')
    writeFileSync(join(folder, 'status'), '')
    writeFileSync(this.#config, aptConfig(folder))
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** What the archive has under `name`; undefined when it has nothing. */
  async show(name: string): Promise<PackageInfo | undefined> {
    await this.#update()
    const result = await this.#run('apt-cache', ['show', '--no-all-versions', name])
    return result.status === 0 ? packageInfoOf(result.output) : undefined
  }

  /** Downloads a package into `folder` and gives the path of the file. */
  async download(info: PackageInfo, folder: string): Promise<string> {
    const megabytes = (info.sizeBytes / 1e6).toFixed(1)
    this.#progress(`Fetching ${info.name} ${info.version} (${megabytes} MB) ...`)
    const result = await this.#run('apt-get', ['download', info.name], folder)
    const file = readdirSync(folder).find((name) => name.startsWith(`${info.name}_`))
    if (result.status !== 0 || !file) {
      throw new PackageError(`apt-get could not download ${info.name}:\n${result.errors}`)
    }
    return join(folder, file)
  }

  async #update(): Promise<void> {
    if (this.#updated) return
    this.#progress('Reading the package lists (apt-get update, in a folder of our own) ...')
    const result = await this.#run('apt-get', ['update'])
    // One source out of many that fails need not be the one that matters: what is found, counts.
    const lists = readdirSync(join(this.#folder, 'state', 'lists'))
    if (!lists.some((name) => /_Packages(\.|$)/.test(name))) {
      throw new PackageError(`apt-get update brought no package lists:\n${result.errors}`)
    }
    this.#updated = true
  }

  #run(command: string, args: readonly string[], folder = this.#folder): Promise<CommandResult> {
    return runCommand(command, ['-c', this.#config, ...args], folder)
  }
}

/** Throws unless the programs are there that this file runs. */
export function requireTools(search = process.env['PATH'] ?? ''): void {
  const folders = search.split(':')
  const missing = TOOLS.filter((tool) => {
    return !folders.some((folder) => folder && existsSync(join(folder, tool)))
  })
  if (missing.length > 0) {
    throw new PackageError(`${missing.join(', ')}: not found on this machine`)
  }
}

/** Copies the first file in a package whose path matches tar's `pattern` to `target`. */
export async function extractFile(
  packageFile: string, pattern: string, target: string,
): Promise<void> {
  const unpack = spawn('dpkg-deb', ['--fsys-tarfile', packageFile], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const tar = spawn('tar', ['-xO', '--occurrence=1', '--wildcards', pattern], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const temporary = `${target}.${process.pid}`
  const status = new Promise<number | null>((resolve, reject) => {
    tar.on('error', reject)
    tar.on('close', resolve)
  })
  unpack.on('error', (error) => tar.stdin.destroy(error))
  // tar stops reading at the file it wants; the rest of the package has no reader, and needs none.
  const feeding = pipeline(unpack.stdout, tar.stdin).catch(() => {})
  await pipeline(tar.stdout, createWriteStream(temporary))
  const ended = await status
  await feeding
  unpack.kill()
  if (ended !== 0) {
    rmSync(temporary, { force: true })
    throw new PackageError(`${packageFile} has no file ${pattern}`)
  }
  renameSync(temporary, target)
}

/** Hooks of the machine's own configuration are for its own lists, so they are cleared. */
function aptConfig(folder: string): string {
  const quoted = (path: string) => `"${path.replaceAll('"', '')}"`
  return `
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "${ARCHITECTURE}";
APT::Architectures { "${ARCHITECTURE}"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "2";
Dir::State ${quoted(join(folder, 'state'))};
Dir::State::status ${quoted(join(folder, 'status'))};
Dir::Cache ${quoted(join(folder, 'cache'))};
`
}

/** Reads the fields of a control paragraph that matter here. */
export function packageInfoOf(paragraph: string): PackageInfo | undefined {
  const field = (name: string) => {
    return new RegExp(`^${name}: *(.*)$`, 'm').exec(paragraph)?.[1]?.trim()
  }
  const name = field('Package')
  const version = field('Version')
  if (!name || !version) return undefined
  const depends = (field('Depends') ?? '').split(/[,|]/).map((part) => {
    return part.trim().replace(/[ (:].*$/, '')
  })
  return { name, version, sizeBytes: Number(field('Size') ?? 0), depends: depends.filter(Boolean) }
}
