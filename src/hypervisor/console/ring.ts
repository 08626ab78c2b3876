/**
 * The hypervisor's log: a ring of text in hypervisor memory, read by `xl dmesg`.
 *
 * Positions count bytes since the start and wrap at 2^32; the newest 64 KiB are kept. What guests
 * write to the emergency console (console_io) goes through here, line by line, with the domain's
 * number before it.
 */
import type { Clock } from '../../base/clock.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import type { Region } from '../../base/shared/region.ts'
import { HostState, LOCK_RANK } from '../host/state.ts'

export class ConsoleRing {
  readonly #region: Region
  readonly #host: ViewOf<typeof HostState>
  readonly #lock: RankedLock

  constructor(region: Region, _clock: Clock) {
    this.#region = region
    this.#host = HostState.on(region.buffer)
    this.#lock = new RankedLock(region.cells, LOCK_RANK.console, 'console')
  }

  /** Adds a line of the hypervisor's own. */
  print(message: string): void {
    this.write(`(XEN) ${message}\n`)
  }

  /** Adds text as it is; characters above 0xff become question marks. */
  write(text: string): void {
    const host = this.#host
    this.#lock.acquire(HostState.offsets.consoleLock)
    const size = host.conringSize
    let at = host.conringProduced
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      this.#region.octets[host.conringAt + at % size] = code < 256 ? code : 63
      at = at + 1 >>> 0
    }
    host.conringProduced = at
    if (at - host.conringConsumed >>> 0 > size) host.conringConsumed = at - size >>> 0
    this.#lock.release(HostState.offsets.consoleLock)
  }

  /** Where reading begins: the oldest text not cleared. */
  get consumed(): number {
    return this.#host.conringConsumed
  }

  get produced(): number {
    return this.#host.conringProduced
  }

  /** Copies text from position `from` on (moved up to the oldest kept); how many bytes, and in
   * `next()` the position after them. */
  read(from: number, to: Uint8Array): number {
    const host = this.#host
    this.#lock.acquire(HostState.offsets.consoleLock)
    const size = host.conringSize
    let at = from >>> 0
    if (host.conringProduced - at >>> 0 > size) at = host.conringProduced - size >>> 0
    let count = 0
    while (count < to.length && at !== host.conringProduced) {
      to[count++] = this.#region.octets[host.conringAt + at % size]!
      at = at + 1 >>> 0
    }
    this.#next = at
    this.#lock.release(HostState.offsets.consoleLock)
    return count
  }

  #next = 0

  /** The position after what `read` gave last. */
  next(): number {
    return this.#next
  }

  /** Forgets everything before the newest text. */
  clear(): void {
    this.#host.conringConsumed = this.#host.conringProduced
  }
}
