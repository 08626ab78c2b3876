/**
 * A machine and its domains as a program uses them, wherever the machine runs.
 *
 * How one is started, or reached, is not said here (src/bin/api.ts).
 */
import type { AsyncStoreClient } from '../../xenstore/async-client.ts'
import { ConfigError } from '../config/parser.ts'
import type { CreateOptions, HostInfo, Libxl } from '../domain/libxl.ts'
import { specOf } from '../domain/spec.ts'
import { Domain, type Session } from './domain.ts'
import { configOfSettings, type DomainSettings } from './settings.ts'

/** The machine's side: what a host is made over. */
export interface HostParts {
  readonly libxl: Libxl
  readonly store: AsyncStoreClient
  /** A word that no guest prints. */
  newToken(): string
  absolutePath(path: string): string
  /** Ends the machine, wherever it runs. */
  end(): Promise<void>
  /** Ends the machine if it was started for this host alone, or the connection to it. */
  close(): Promise<void>
}

export class HostSession implements AsyncDisposable {
  readonly #parts: HostParts
  readonly #session: Session
  #closed: Promise<void> | undefined

  constructor(parts: HostParts) {
    this.#parts = parts
    this.#session = {
      libxl: parts.libxl, store: parts.store, newToken: () => parts.newToken(),
      absolutePath: (path) => parts.absolutePath(path), open: new Set(),
    }
  }

  /** xenstore, as the control domain sees it. */
  get store(): AsyncStoreClient {
    return this.#parts.store
  }

  /** Makes a domain and, unless it shall be left paused, starts it. */
  async create(settings: DomainSettings, options: CreateOptions = {}): Promise<Domain> {
    const spec = specOf(configOfSettings(settings), (path) => this.#parts.absolutePath(path))
    if ('refusal' in spec) throw new ConfigError([spec.refusal])
    return this.domain(await this.#parts.libxl.create(spec, options))
  }

  /** The domain of that number, which need not exist. */
  domain(domid: number): Domain {
    return new Domain(this.#session, domid)
  }

  /** The domain of that name; undefined when there is none. */
  async find(name: string): Promise<Domain | undefined> {
    const found = (await this.#parts.libxl.list()).find((domain) => domain.name === name)
    return found && this.domain(found.domid)
  }

  /** All domains but the control domain. */
  async domains(): Promise<Domain[]> {
    const all = await this.#parts.libxl.list()
    return all.filter(({ domid }) => domid !== 0).map(({ domid }) => this.domain(domid))
  }

  /** What `xl info` prints. */
  info(): Promise<HostInfo> {
    return this.#parts.libxl.info()
  }

  /** The hypervisor's log. */
  readLog(clear = false): Promise<string> {
    return this.#parts.libxl.readLog(clear)
  }

  /** Ends the machine with all its domains, also one that others use. */
  async end(): Promise<void> {
    try {
      await this.#parts.end()
    } finally {
      await this.close()
    }
  }

  /** Ends all that was opened here, and the machine if it was started here. */
  close(): Promise<void> {
    return this.#closed ??= this.#close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    for (const one of [...this.#session.open]) await one[Symbol.asyncDispose]()
    this.#parts.store.close()
    await this.#parts.close()
  }
}
