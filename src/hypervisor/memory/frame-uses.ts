/**
 * What cores have made of frames, and what they tell one another of it.
 *
 * A word of machine memory for each frame says which cores have decoded code from it and which may
 * store to it without asking (cpu/mmu/frame-uses.ts). Whoever writes to a frame takes away the bits
 * of those that have code from it, and notes the frame as written: they forget the code when they
 * read the note. A core that decodes where others store asks them by a note to drop their entries
 * for stores; who drops them notes the frame as written first, as it may have been until then. The
 * notes are a ring in hypervisor memory, which each core reads before it enters a guest and before
 * it leaves one.
 *
 * So no store is lost, and none waits: a core may execute old code until it looks, which is no
 * later than its next exit or interrupt. What the control domain writes through a mapping that
 * stays is noted when it ends: a guest that runs code out of a page that it keeps granted sees old
 * code.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import type { Region } from '../../base/shared/region.ts'
import { CODE_USES, codeUse, MAX_PROCESSORS, storeUse, USE_SHIFT } from
  '../../cpu/mmu/frame-uses.ts'
import { HostState, LOCK_RANK, NOTES } from '../host/state.ts'

/** In a note: stores are asked to be dropped; without it, the frame was written. */
const ASKED = 1 << 31
/** Above the frame's number is that of the core that notes it, plus one; 0 is no core. */
const CORE_SHIFT = 24
const FRAME = (1 << CORE_SHIFT) - 1

/** Who forgets: a core's processor. */
export interface Forgetful {
  /** Forgets the code decoded from the frame at a machine address. */
  forgetCode(machine: number): void
  /** Forgets entries for stores to it, and says that it was written if there may have been some. */
  forgetStores(machine: number): void
  /** Forgets all code. */
  flushCode(): void
}

export class FrameUses {
  readonly #state: ViewOf<typeof HostState>
  readonly #cells: Int32Array
  readonly #words: Int32Array
  readonly #table: number
  readonly #frames: number
  readonly #lock: RankedLock
  readonly #kick: (core: number) => void

  /** `kick` makes a core look at the notes soon. */
  constructor(hypervisor: Region, machine: Region, kick: (core: number) => void) {
    this.#state = HostState.on(hypervisor.buffer)
    this.#cells = hypervisor.cells
    this.#words = machine.cells
    this.#table = this.#state.frameUses >>> 2
    this.#frames = this.#state.machineFrames
    this.#lock = new RankedLock(hypervisor.cells, LOCK_RANK.notes, 'notes')
    this.#kick = kick
  }

  /** How many notes there have been, modulo 2^32. */
  get count(): number {
    return this.#state.noteCount
  }

  /** The frame has been written, or has become another's: no core but `self` goes on running its
   * former content as code. */
  written(mfn: number, self = -1): void {
    const cell = this.#table + mfn
    const others = self < 0 ? CODE_USES : CODE_USES & ~codeUse(self)
    if ((Atomics.load(this.#words, cell) & others) === 0) return
    const cores = Atomics.and(this.#words, cell, ~others) & others
    if (cores === 0) return
    this.#note(mfn | self + 1 << CORE_SHIFT)
    for (let core = 0; core < MAX_PROCESSORS; core++) if (cores & codeUse(core)) this.#kick(core)
  }

  /** Core `self` has decoded code from the frame: asks those that may store to it to tell of what
   * they store. Answers their bits, from the lowest on. */
  ask(mfn: number, self: number): number {
    const others = ~CODE_USES & ~storeUse(self)
    const cores = (Atomics.load(this.#words, this.#table + mfn) & others) >>> MAX_PROCESSORS
    if (cores !== 0) this.#note(mfn | self + 1 << CORE_SHIFT | ASKED)
    return cores
  }

  /** Does what the notes from number `since` on ask of core `self`; the number to go on with. */
  read(since: number, self: number, forgetful: Forgetful): number {
    const { count } = this
    const number = count - since >>> 0
    if (number === 0) return count
    let known = number <= NOTES
    for (let i = 0; i < number && known; i++) {
      const note = Atomics.load(this.#cells, this.#cell(since + i))
      // A writer may be at the oldest of the notes already.
      known = (this.count - since - i >>> 0) < NOTES
      if (known) this.#obey(note, self, forgetful)
    }
    if (!known) this.#forgetAll(self, forgetful)
    return count
  }

  #obey(note: number, self: number, forgetful: Forgetful): void {
    const mfn = note & FRAME
    if ((note & ~ASKED) >>> CORE_SHIFT === self + 1) return
    if ((note & ASKED) === 0) forgetful.forgetCode(mfn * 4096)
    else forgetful.forgetStores(mfn * 4096)
  }

  /** Notes have been lost: any of the frames may be meant. */
  #forgetAll(self: number, forgetful: Forgetful): void {
    forgetful.flushCode()
    for (let mfn = 0; mfn < this.#frames; mfn++) {
      const uses = this.#words[this.#table + mfn]!
      if ((uses & storeUse(self)) === 0 || (uses & CODE_USES & ~codeUse(self)) === 0) continue
      this.#obey(mfn | ASKED, self, forgetful)
    }
  }

  #note(note: number): void {
    this.#lock.acquire(HostState.offsets.notesLock)
    const { count } = this
    Atomics.store(this.#cells, this.#cell(count), note)
    this.#state.noteCount = count + 1
    this.#lock.release(HostState.offsets.notesLock)
  }

  #cell(index: number): number {
    return (HostState.offsets.notes >>> 2) + (index & NOTES - 1)
  }

  /** Bytes of the words for so many frames. */
  static bytes(frames: number): number {
    return frames << USE_SHIFT
  }
}
