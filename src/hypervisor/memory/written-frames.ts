/**
 * The frames that were last written from outside their domain, for cores that have decoded code
 * from them.
 *
 * A domain writes to another's frame through a grant or a foreign mapping, where no core sees it.
 * When such a use ends, before the owner is told, the frame is noted here; each core looks before
 * it enters a guest, and one that runs is made to. What is written through a mapping that stays is
 * noted when it ends: a guest that runs code out of a page that it keeps granted sees old code.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import type { Region } from '../../base/shared/region.ts'
import { HostState, LOCK_RANK, WRITTEN_FRAMES } from '../host/state.ts'

export class WrittenFrames {
  readonly #state: ViewOf<typeof HostState>
  readonly #cells: Int32Array
  readonly #lock: RankedLock

  constructor(hypervisor: Region) {
    this.#state = HostState.on(hypervisor.buffer)
    this.#cells = hypervisor.cells
    this.#lock = new RankedLock(hypervisor.cells, LOCK_RANK.writtenFrames, 'written frames')
  }

  /** How many notes there have been, modulo 2^32. */
  get count(): number {
    return this.#state.writtenCount
  }

  note(mfn: number): void {
    this.#lock.acquire(HostState.offsets.writtenLock)
    const { count } = this
    Atomics.store(this.#cells, this.#cell(count), mfn)
    this.#state.writtenCount = count + 1
    this.#lock.release(HostState.offsets.writtenLock)
  }

  /**
   * Tells of the frames noted from `since` on, up to `count`; false when some of them have been
   * overwritten by later ones.
   */
  read(since: number, count: number, tell: (mfn: number) => void): boolean {
    const number = (count - since) >>> 0
    if (number > WRITTEN_FRAMES) return false
    for (let i = 0; i < number; i++) tell(Atomics.load(this.#cells, this.#cell(since + i)))
    // A writer may be at the oldest of the notes already.
    return ((this.count - since) >>> 0) < WRITTEN_FRAMES
  }

  #cell(index: number): number {
    return (HostState.offsets.written >>> 2) + (index & WRITTEN_FRAMES - 1)
  }
}
