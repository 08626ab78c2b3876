/**
 * A host process of a test's own, with what the test says to it through `./xl`.
 *
 * It lives in a run folder of its own, so that tests neither meet one another nor a user's domains.
 * `close` ends everything that was started and removes the folder; when the test is killed, a guard
 * does.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Host } from 'xenolith'
import { guardHost } from '../../bench/lib/host-guard.ts'
import { Conversation, PATIENCE } from './console.ts'

const root = resolve(import.meta.dirname, '..', '..')
const program = join(root, 'xl')

export type Settings = Readonly<Record<string, string | number | readonly string[]>>

export interface Result {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface HostOptions {
  /** The emulated machine's memory. */
  readonly memoryMb?: number
  readonly environment?: Readonly<Record<string, string>>
  /** No file of the host process may become larger. */
  readonly fileLimitBytes?: number
}

export class TestHost {
  readonly folder = mkdtempSync(join(tmpdir(), 'xenolith-boot-'))
  readonly #release = guardHost(this.folder, join(this.folder, 'run'))
  readonly #environment: NodeJS.ProcessEnv
  readonly #conversations: Conversation[] = []
  readonly #fileLimitBytes: number | undefined

  constructor(options: HostOptions = {}) {
    const memory = options.memoryMb
    this.#fileLimitBytes = options.fileLimitBytes
    this.#environment = {
      ...process.env, XENOLITH_RUN: join(this.folder, 'run'), TERM: 'dumb',
      ...memory === undefined ? {} : { XENOLITH_MEMORY: `${memory}` },
      ...options.environment,
    }
  }

  /** Writes a file of the test's own. */
  file(name: string, content: string | Uint8Array): string {
    const path = join(this.folder, name)
    writeFileSync(path, content)
    return path
  }

  /** Writes a PVH domain's configuration, `NAME.cfg`. */
  config(name: string, settings: Settings): string {
    const all: Settings = { name, type: 'pvh', ...settings }
    const lines = Object.entries(all).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
    return this.file(`${name}.cfg`, lines.join(''))
  }

  /** Starts `./xl` and leaves it running. */
  start(...words: string[]): Conversation {
    return this.#spawn(program, words, `xl ${words.join(' ')}`)
  }

  /** The same at a terminal, which `script` provides. */
  startAtTerminal(...words: string[]): Conversation {
    const command = [program, ...words].map((word) => `'${word}'`).join(' ')
    return this.#spawn('script', ['-qec', command, '/dev/null'], `xl ${words.join(' ')}`)
  }

  /** Runs `./xl` to its end. */
  async xl(...words: string[]): Promise<Result> {
    return this.#ended(this.start(...words))
  }

  /** Runs `./xen-hptool` to its end. */
  async hptool(...words: string[]): Promise<Result> {
    return this.#ended(
      this.#spawn(join(root, 'xen-hptool'), words, `xen-hptool ${words.join(' ')}`))
  }

  async #ended(conversation: Conversation): Promise<Result> {
    conversation.endInput()
    const { code, err } = await conversation.ended()
    return { code, out: conversation.transcript, err }
  }

  /** The host process as a program has it, started if need be. */
  attach(): Promise<Host> {
    return Host.attach({ folder: join(this.folder, 'run'), start: true })
  }

  /** The columns of `xl list` for a domain; undefined when it is not there. */
  async listed(name: string): Promise<readonly string[] | undefined> {
    const { out } = await this.xl('list')
    const rows = out.split('\n').map((line) => line.split(/\s+/))
    return rows.find((columns) => columns[0] === name)
  }

  /** Names of all domains but the control domain. */
  async domains(): Promise<readonly string[]> {
    const { out } = await this.xl('list')
    return out.trim().split('\n').slice(2).map((line) => line.split(/\s+/)[0] ?? '')
  }

  /** Waits until `xl list` no longer has the domain, or has it in this state. */
  async settled(name: string, state?: RegExp): Promise<void> {
    let seen: string | undefined
    for (const end = Date.now() + PATIENCE * 1000; Date.now() < end; await delay(200)) {
      seen = (await this.listed(name))?.[4]
      if (state === undefined ? seen === undefined : seen !== undefined && state.test(seen)) return
    }
    throw new Error(`domain ${name} is ${seen ?? 'gone'}, not ${state ?? 'gone'}\n${this.log}`)
  }

  /** Attaches to the console of the domain that has the name, once it has this number. */
  async consoleOf(name: string, domid: number): Promise<Conversation> {
    for (const end = Date.now() + PATIENCE * 1000; Date.now() < end; await delay(100)) {
      if ((await this.listed(name))?.[1] === `${domid}`) return this.start('console', name)
    }
    throw new Error(`there is no domain ${name} with number ${domid}\n${this.log}`)
  }

  /** What the host process has logged. */
  get log(): string {
    const path = join(this.folder, 'run', 'host.log')
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }

  get pid(): number | undefined {
    const match = /ready: .* pid (\d+)/.exec(this.log)
    return match ? Number(match[1]) : undefined
  }

  get isAlive(): boolean {
    return this.signal(0)
  }

  /** Sends a signal to the host process; false when there is none. */
  signal(signal: NodeJS.Signals | 0): boolean {
    const { pid } = this
    try {
      return pid !== undefined && process.kill(pid, signal)
    } catch {
      return false
    }
  }

  /** Ends all that was started here. */
  async close(): Promise<void> {
    for (const conversation of this.#conversations) conversation.kill()
    this.signal('SIGTERM')
    for (let i = 0; i < 50 && this.isAlive; i++) await delay(100)
    this.signal('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
    this.#release()
  }

  #spawn(file: string, words: readonly string[], name: string): Conversation {
    // Processes inherit the limit, and xl starts the host process.
    const limit = this.#fileLimitBytes
    const child = limit === undefined
      ? spawn(file, words, { env: this.#environment, stdio: 'pipe' })
      : spawn('sh', ['-c', `ulimit -f ${limit / 512}; exec "$@"`, 'sh', file, ...words],
        { env: this.#environment, stdio: 'pipe' })
    const conversation = new Conversation(child, name)
    this.#conversations.push(conversation)
    return conversation
  }
}
