/**
 * A domain as a program holds it: a handle by number, which outlives neither its domain nor its
 * host.
 */
import type { AsyncStoreClient } from '../../xenstore/async-client.ts'
import { domainPath } from '../../xenstore/path.ts'
import {
  type DomainEnd, type DomainSummary, ERROR_DOMAIN_NOTFOUND, type Libxl, LibxlError,
  type VcpuSummary,
} from '../domain/libxl.ts'
import { HostGone } from '../host/client.ts'
import { GuestConsole, type Patience } from './console.ts'
import type { CommandResult } from './shell.ts'

/** What domains share: the way to the machine, and what is open. */
export interface Session {
  readonly libxl: Libxl
  readonly store: AsyncStoreClient
  readonly newToken: () => string
  /** What is to be closed before the session is. */
  readonly open: Set<AsyncDisposable>
}

export class Domain implements AsyncDisposable {
  readonly domid: number
  readonly #session: Session

  constructor(session: Session, domid: number) {
    this.#session = session
    this.domid = domid
  }

  /** What `xl list` says of it now; undefined when it is gone. */
  async summary(): Promise<DomainSummary | undefined> {
    return (await this.#libxl.list()).find((domain) => domain.domid === this.domid)
  }

  vcpus(): Promise<VcpuSummary[]> {
    return this.#libxl.vcpus(this.domid)
  }

  pause(): Promise<void> {
    return this.#libxl.pause(this.domid)
  }

  unpause(): Promise<void> {
    return this.#libxl.unpause(this.domid)
  }

  /** Asks the guest to power off; resolves once it acknowledged. `ended` waits for the end. */
  shutdown(): Promise<void> {
    return this.#libxl.shutdown(this.domid)
  }

  /** Asks the guest to reboot; resolves once it acknowledged. `successor` is what comes then. */
  reboot(): Promise<void> {
    return this.#libxl.reboot(this.domid)
  }

  destroy(): Promise<void> {
    return this.#libxl.destroy(this.domid)
  }

  rename(name: string): Promise<void> {
    return this.#libxl.rename(this.domid, name)
  }

  /** Asks the guest to have so much memory, in MiB. */
  setMemory(mib: number): Promise<void> {
    return this.#libxl.setMemoryTarget(this.domid, mib * 1024)
  }

  /** Asks the guest to have so many VCPUs online. */
  setVcpus(count: number): Promise<void> {
    return this.#libxl.setOnlineVcpus(this.domid, count)
  }

  sysrq(key: string): Promise<void> {
    return this.#libxl.sendSysrq(this.domid, key)
  }

  /** Resolves when the domain shuts down, for which reason, or is destroyed. */
  ended(): Promise<DomainEnd> {
    return this.#libxl.waitForEnd(this.domid)
  }

  /** The domain that was made again in its place after its end; undefined when there is none. */
  async successor(): Promise<Domain | undefined> {
    const domid = await this.#libxl.successor(this.domid)
    return domid === undefined ? undefined : new Domain(this.#session, domid)
  }

  /** Attaches to its console, which first gives what nobody has read so far. */
  async console(): Promise<GuestConsole> {
    const { open, libxl, newToken } = this.#session
    const console = await GuestConsole.attach(libxl, this.domid, newToken)
    open.add(console)
    console.onClose = () => open.delete(console)
    return console
  }

  /** Has the shell at the prompt of its console run one command. See GuestConsole.exec. */
  async exec(command: string, patience?: Patience): Promise<CommandResult> {
    await using console = await this.console()
    return await console.exec(command, patience)
  }

  /** Reads below its home in the store: `domain.read('control/feature-reboot')`. */
  read(path: string): Promise<string | undefined> {
    return this.#session.store.read(`${domainPath(this.domid)}/${path}`)
  }

  /** Writes below its home in the store. */
  write(path: string, value: string): Promise<void> {
    return this.#session.store.write(`${domainPath(this.domid)}/${path}`, value)
  }

  /** Destroys it if it and its host are still there. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.destroy()
    } catch (error) {
      const gone = error instanceof HostGone ||
        (error instanceof LibxlError && error.rc === ERROR_DOMAIN_NOTFOUND)
      if (!gone) throw error
    }
  }

  get #libxl(): Libxl {
    return this.#session.libxl
  }
}
