/**
 * What is in frames of machine memory, when they become free: nothing, as whoever gets them next
 * must not see what they held.
 *
 * Rows of frames go back to the system that we run on, where it can be asked to take them: they are
 * zero when they are touched again, and cost it no memory until then. A single frame is worth less
 * than asking.
 */
import type { Region } from '../../base/shared/region.ts'

const PAGE = 4096
const WORDS = PAGE / 4
/** Frames. Filling so many takes about as long as the system takes them back in any case. */
const ROW = 16

/** Makes bytes of machine memory zero and has the system take the memory back; false when that
 * cannot be, and nothing has happened. */
export type GiveBack = (offset: number, bytes: number) => boolean

export class FrameContent {
  readonly #machine: Region
  readonly #giveBack: GiveBack | undefined

  constructor(machine: Region, giveBack: GiveBack | undefined) {
    this.#machine = machine
    this.#giveBack = giveBack
  }

  isZero(mfn: number): boolean {
    const { cells } = this.#machine
    const end = (mfn + 1) * WORDS
    // Eight words a turn: half the time of one, and a balloon gives back hundreds of thousands.
    for (let i = mfn * WORDS; i < end; i += 8) {
      if ((cells[i]! | cells[i + 1]! | cells[i + 2]! | cells[i + 3]!
        | cells[i + 4]! | cells[i + 5]! | cells[i + 6]! | cells[i + 7]!) !== 0) return false
    }
    return true
  }

  /** Makes `count` frames from `mfn` zero. */
  clear(mfn: number, count: number): void {
    if (count >= ROW && this.#giveBack?.(mfn * PAGE, count * PAGE)) return
    for (let i = mfn; i < mfn + count; i++) {
      // Reading an untouched page costs the system no memory.
      if (!this.isZero(i)) this.#machine.words.fill(0, i * WORDS, (i + 1) * WORDS)
    }
  }
}
