/**
 * Which cores are inside: run a guest, or reach its memory for a hypercall, by translations and
 * decoded code that others may make untrue.
 *
 * Each core counts its entrances and departures: the count is odd while it is inside. It counts
 * before it looks whether what it knows is still true, and others make it untrue before they look
 * who is inside; so one of the two sees the other. Who takes something away waits until each core
 * concerned has left once (`settle`): it then finds out before it uses anything again. A core that
 * waits is never inside, and one inside never waits for a lock, so nobody waits for each other.
 *
 * The bus is locked by keeping all others outside.
 */
import { assert, Bug } from '../../base/assert.ts'
import { cellOf } from '../../base/layout/atomics.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { waitWhile } from '../../base/shared/wait.ts'
import { VcpuState } from '../domain/state.ts'
import type { Host } from './host.ts'
import { CoreState, HostState } from './state.ts'

/** How often the count is looked at before the thread sleeps. */
const SPINS = 2000
const SLEEP_MS = 5
/** A core that stays inside longer is our mistake. */
const LONGEST_MS = 20_000

export class Presence {
  readonly #host: Host
  readonly #cells: Int32Array
  readonly #busCell: number
  readonly #core: ViewOf<typeof CoreState>
  readonly #vcpu: ViewOf<typeof VcpuState>

  constructor(host: Host) {
    this.#host = host
    this.#cells = host.hypervisor.cells
    this.#busCell = cellOf(host.state, HostState.offsets.busLock)
    this.#core = CoreState.on(host.hypervisor.buffer)
    this.#vcpu = VcpuState.on(host.hypervisor.buffer)
  }

  /** Core `self` goes inside; once nobody else has the bus. */
  enter(self: number): void {
    for (;;) {
      Atomics.add(this.#cells, this.#insideCell(self), 1)
      const bus = Atomics.load(this.#cells, this.#busCell)
      if (bus === 0 || bus === self + 1) return
      this.leave(self)
      Atomics.wait(this.#cells, this.#busCell, bus, SLEEP_MS)
    }
  }

  leave(self: number): void {
    const cell = this.#insideCell(self)
    Atomics.add(this.#cells, cell, 1)
    const awaited = this.#cellOf(self, 'awaited')
    if (Atomics.load(this.#cells, awaited) === 0) return
    Atomics.store(this.#cells, awaited, 0)
    Atomics.notify(this.#cells, cell)
  }

  /** The thread of a core has died: nobody waits for it any more. */
  abandon(core: number): void {
    if (this.stay(core) !== 0) this.leave(core)
    if (Atomics.load(this.#cells, this.#busCell) === core + 1) this.unlockBus(core)
  }

  /** The count of a core that is inside, else 0. */
  stay(core: number): number {
    const count = Atomics.load(this.#cells, this.#insideCell(core))
    return count & 1 ? count : 0
  }

  /** Waits until a core has ended the stay with a count. */
  awaitEnd(core: number, stay: number): void {
    const cell = this.#insideCell(core)
    if (Atomics.load(this.#cells, cell) !== stay) return
    this.#host.kickCore(core)
    for (let i = 0; i < SPINS; i++) if (Atomics.load(this.#cells, cell) !== stay) return
    const end = Date.now() + LONGEST_MS
    while (Atomics.load(this.#cells, cell) === stay) {
      Atomics.store(this.#cells, this.#cellOf(core, 'awaited'), 1)
      waitWhile(this.#cells, cell, stay, SLEEP_MS)
      if (Date.now() > end) throw new Bug(`core ${core} does not leave its guest`)
    }
  }

  /** Returns when no core uses what it knew of the memory of the domain at an address. */
  settle(domainAt: number): void {
    for (let core = 0; core < this.#host.state.coreCount; core++) {
      const stay = this.stay(core)
      if (stay !== 0 && this.#runs(core, domainAt)) this.awaitEnd(core, stay)
    }
  }

  /** Takes the bus for core `self`, which is outside: all others are then, and stay there. */
  lockBus(self: number): void {
    for (;;) {
      const owner = Atomics.compareExchange(this.#cells, this.#busCell, 0, self + 1)
      if (owner === 0) break
      Atomics.wait(this.#cells, this.#busCell, owner, SLEEP_MS)
    }
    for (let core = 0; core < this.#host.state.coreCount; core++) {
      const stay = core === self ? 0 : this.stay(core)
      if (stay !== 0) this.awaitEnd(core, stay)
    }
  }

  unlockBus(self: number): void {
    const owner = Atomics.exchange(this.#cells, this.#busCell, 0)
    assert(owner === self + 1, 'the bus is unlocked by its owner')
    Atomics.notify(this.#cells, this.#busCell)
  }

  #runs(core: number, domainAt: number): boolean {
    const vcpuAt = this.#at(core).currentVcpu
    return vcpuAt !== 0 && this.#vcpu.at(vcpuAt).domainAt === domainAt
  }

  #at(core: number): ViewOf<typeof CoreState> {
    return this.#core.at(HostState.offsets.cores + core * CoreState.size)
  }

  #insideCell(core: number): number {
    return this.#cellOf(core, 'inside')
  }

  #cellOf(core: number, field: 'inside' | 'awaited'): number {
    return HostState.offsets.cores + core * CoreState.size + CoreState.offsets[field] >>> 2
  }
}
