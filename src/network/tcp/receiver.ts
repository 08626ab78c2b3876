/**
 * The receiving half of a TCP connection: what came, put in order, and the window for more.
 *
 * Obeys RFC 9293 sections 3.4 and 3.8.6. The window is what there is room for beyond what the owner
 * has not consumed yet, and never shrinks from what the peer was told. Pieces out of order are kept
 * within the window, and only so many of them.
 */
import { advance, after } from './sequence.ts'

const PIECES_KEPT = 256

interface Piece {
  readonly sequence: number
  readonly bytes: Uint8Array
}

export class Receiver {
  /** What is expected next. */
  next: number
  /** The peer's FIN, and all before it, has come. */
  ended = false
  readonly #capacity: number
  readonly #deliver: (bytes: Uint8Array) => void
  readonly #scale: number
  #pieces: Piece[] = []
  /** Bytes delivered and not consumed. */
  #held = 0
  /** The end of the window as the peer knows it. */
  #edge: number
  #finAt: number | undefined

  /** `first` is the number of the first byte; `scale` that of the windows we tell of. */
  constructor(
    first: number, capacity: number, scale: number, deliver: (bytes: Uint8Array) => void,
  ) {
    this.next = first
    this.#edge = first
    this.#capacity = capacity
    this.#scale = scale
    this.#deliver = deliver
  }

  /** The window for the header of the segment about to be sent; the peer will know it. */
  announce(): number {
    const window = Math.min(this.#room() >> this.#scale, 0xffff)
    const edge = advance(this.next, window << this.#scale)
    if (after(edge, this.#edge) > 0) this.#edge = edge
    // Rounding up keeps a window that was promised.
    const promised = Math.max(0, after(this.#edge, this.next))
    return Math.min(Math.ceil(promised / 2 ** this.#scale), 0xffff)
  }

  /** The peer was told of a window of `bytes` by other means. */
  promise(bytes: number): void {
    const edge = advance(this.next, bytes)
    if (after(edge, this.#edge) > 0) this.#edge = edge
  }

  /** Whether a segment has anything within the window (RFC 9293 section 3.10.7.4). */
  isAcceptable(sequence: number, length: number): boolean {
    const window = Math.max(0, after(this.#edge, this.next))
    const start = after(sequence, this.next)
    if (length === 0) return window === 0 ? start === 0 : start >= 0 && start < window
    if (window === 0) return false
    const last = start + length - 1
    return start >= 0 && start < window || last >= 0 && last < window
  }

  /** Whether pieces wait for what comes before them. */
  get hasGaps(): boolean {
    return this.#pieces.length > 0
  }

  /** Takes a segment's bytes and FIN, in whatever order they come. */
  take(sequence: number, bytes: Uint8Array, fin: boolean): void {
    if (this.ended) return
    if (fin) this.#finAt = advance(sequence, bytes.length)
    const skip = Math.max(0, after(this.next, sequence))
    const room = after(this.#edge, sequence)
    const fresh = bytes.subarray(Math.min(skip, bytes.length), Math.max(0, room))
    const start = advance(sequence, skip)
    if (fresh.length > 0) {
      if (start === this.next) this.#accept(fresh)
      else this.#keep({ sequence: start, bytes: fresh })
    }
    this.#drain()
    if (this.#finAt === this.next) {
      this.next = advance(this.next, 1)
      this.ended = true
      this.#pieces = []
    }
  }

  /** The owner is done with `count` bytes; whether the peer should hear of the larger window. */
  consume(count: number, segment: number): boolean {
    this.#held -= count
    // Who may still send half of what fits does not wait for the news.
    const promised = Math.max(0, after(this.#edge, this.next))
    const gain = this.#room() - promised
    return !this.ended && promised < this.#capacity / 2 &&
      gain >= Math.min(2 * segment, this.#capacity / 2)
  }

  #room(): number {
    return Math.max(0, this.#capacity - this.#held)
  }

  #accept(bytes: Uint8Array): void {
    this.next = advance(this.next, bytes.length)
    this.#held += bytes.length
    this.#deliver(bytes)
  }

  #keep(piece: Piece): void {
    if (this.#pieces.length >= PIECES_KEPT) return
    let index = this.#pieces.length
    while (index > 0 && after(this.#pieces[index - 1]!.sequence, piece.sequence) > 0) index--
    // The bytes are the sender's frame, which nobody changes.
    this.#pieces.splice(index, 0, piece)
  }

  #drain(): void {
    let used = 0
    for (const { sequence, bytes } of this.#pieces) {
      const skip = after(this.next, sequence)
      if (skip < 0) break
      used++
      if (skip < bytes.length) this.#accept(bytes.subarray(skip))
    }
    if (used > 0) this.#pieces.splice(0, used)
  }
}
