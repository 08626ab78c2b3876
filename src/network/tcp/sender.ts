/**
 * The sending half of a TCP connection: what is still to be sent or acknowledged, and when.
 *
 * Obeys RFC 9293 sections 3.8.1 and 3.8.6 (retransmission, windows, probing them), RFC 6298 (the
 * timer), RFC 5681 and RFC 6582 (congestion, fast retransmit, NewReno). The connection owns the
 * timer and asks `onTimer`. After a timeout sending goes on from the last acknowledged byte; what
 * the peer has already is skipped by its next acknowledgment.
 */
import { ByteQueue } from './byte-queue.ts'
import { advance, after } from './sequence.ts'

/** The least timeout; RFC 6298 wants a second, but this link is within one machine. */
const LEAST_RTO_MS = 200
const MOST_RTO_MS = 60_000
const FIRST_RTO_MS = 1000
const INITIAL_SEGMENTS = 10
const DUPLICATES = 3
/** The largest piece that is sent at once, to be cut into segments later; with its headers it is an
 * IPv4 packet, whose length has 16 bits. */
const LARGEST_PIECE = 65_000

/** Sends bytes, perhaps with FIN, at a sequence number. */
type Emit = (sequence: number, bytes: Uint8Array, fin: boolean) => void

export class Sender {
  /** The oldest number that is not acknowledged. */
  una: number
  /** The next to be sent; after a timeout, again. */
  next: number
  /** The largest number ever sent, plus one; what RFC 9293 calls SND.NXT. */
  highest: number
  rtoMs = FIRST_RTO_MS
  /** Timeouts since the peer last acknowledged something. */
  timeouts = 0
  /** FIN and all before it is acknowledged. */
  isFinished = false
  readonly #emit: Emit
  readonly #queue = new ByteQueue()
  #segment: number
  #window = 0
  #congestion: number
  #threshold = Number.MAX_SAFE_INTEGER
  #duplicates = 0
  /** While recovering from a loss: what was sent when it was noticed. */
  #recover: number | undefined
  #finQueued = false
  #timed: { readonly sequence: number, readonly sentMs: number } | undefined
  #smoothMs: number | undefined
  #variationMs = 0

  constructor(first: number, segment: number, emit: Emit) {
    this.una = this.next = this.highest = first
    this.#segment = segment
    this.#congestion = INITIAL_SEGMENTS * segment
    this.#emit = emit
  }

  /** Bytes that are not acknowledged yet, sent or not. */
  get length(): number {
    return this.#queue.length
  }

  get segment(): number {
    return this.#segment
  }

  /** Numbers sent and not acknowledged. */
  get inFlight(): number {
    return after(this.next, this.una)
  }

  /** Whether there is something to send that only the peer's window holds back. */
  get isStuck(): boolean {
    return this.inFlight === 0 && this.#queue.length > 0
  }

  write(bytes: Uint8Array, nowMs: number): void {
    this.#queue.push(bytes)
    this.push(nowMs)
  }

  end(nowMs: number): void {
    this.#finQueued = true
    this.push(nowMs)
  }

  /** The peer's window, in bytes. */
  get window(): number {
    return this.#window
  }

  setWindow(bytes: number): void {
    this.#window = bytes
  }

  /** Whether `acknowledgment` speaks of what was never sent. */
  isBeyond(acknowledgment: number): boolean {
    return after(acknowledgment, this.highest) > 0
  }

  /** Sends what the windows allow. */
  push(nowMs: number): void {
    for (;;) {
      const inFlight = this.inFlight
      const unsent = this.#queue.length - inFlight
      const fin = this.#finQueued && !this.isFinished
      if (unsent < 0 || unsent === 0 && !fin) return
      const usable = Math.min(this.#window, this.#congestion) - inFlight
      if (unsent === 0) {
        // FIN alone needs no room in the window.
        this.#send(NOTHING, true, nowMs)
        return
      }
      let size = Math.min(unsent, usable, LARGEST_PIECE)
      if (size <= 0) return
      if (size < unsent) {
        // Small pieces of a small window are not worth their headers.
        if (size < this.#segment && inFlight > 0) return
        if (size > this.#segment) size -= size % this.#segment
      }
      this.#send(this.#queue.slice(inFlight, size), fin && size === unsent, nowMs)
    }
  }

  #send(bytes: Uint8Array, fin: boolean, nowMs: number): void {
    const sequence = this.next
    this.next = advance(sequence, bytes.length + (fin ? 1 : 0))
    if (after(this.next, this.highest) > 0) {
      this.#timed ??= { sequence: this.next, sentMs: nowMs }
      this.highest = this.next
    }
    this.#emit(sequence, bytes, fin)
  }

  /** Takes an acknowledgment that is not beyond; `pure` when it came with nothing else. */
  acknowledge(acknowledgment: number, pure: boolean, nowMs: number): void {
    const gain = after(acknowledgment, this.una)
    if (gain > 0) this.#advance(acknowledgment, gain, nowMs)
    else if (gain === 0 && pure && this.inFlight > 0) this.#duplicate()
    this.push(nowMs)
  }

  #advance(acknowledgment: number, gain: number, nowMs: number): void {
    const bytes = Math.min(gain, this.#queue.length)
    this.#queue.drop(bytes)
    if (gain > bytes) this.isFinished = true
    this.una = acknowledgment
    if (after(this.next, acknowledgment) < 0) this.next = acknowledgment
    this.timeouts = 0
    this.#duplicates = 0
    this.#measure(acknowledgment, nowMs)
    if (this.#recover === undefined) {
      this.#congestion += this.#congestion < this.#threshold
        ? gain : Math.max(1, Math.floor(this.#segment * gain / this.#congestion))
    } else if (after(acknowledgment, this.#recover) >= 0) {
      this.#recover = undefined
      this.#congestion = this.#threshold
    } else {
      // A second hole in the same window.
      this.#congestion = Math.max(this.#segment, this.#congestion - gain + this.#segment)
      this.#resendFirst()
    }
  }

  #duplicate(): void {
    this.#duplicates++
    if (this.#recover !== undefined) {
      this.#congestion += this.#segment
    } else if (this.#duplicates === DUPLICATES) {
      this.#backOff()
      this.#recover = this.highest
      this.#congestion = this.#threshold + DUPLICATES * this.#segment
      this.#resendFirst()
    }
  }

  #backOff(): void {
    this.#threshold = Math.max(Math.floor(this.inFlight / 2), 2 * this.#segment)
  }

  /** Sends the oldest segment once more, without changing what comes next. */
  #resendFirst(): void {
    this.#timed = undefined
    const size = Math.min(this.#segment, this.#queue.length, this.inFlight)
    const fin = this.#finQueued && !this.isFinished && size === this.#queue.length &&
      this.inFlight > size
    this.#emit(this.una, this.#queue.slice(0, size), fin)
  }

  /** Nothing was acknowledged for `rtoMs`: begins again from the oldest. */
  onTimer(nowMs: number): void {
    this.timeouts++
    this.rtoMs = Math.min(this.rtoMs * 2, MOST_RTO_MS)
    this.#backOff()
    this.#congestion = this.#segment
    this.#duplicates = 0
    this.#recover = undefined
    this.#timed = undefined
    this.next = this.una
    this.push(nowMs)
  }

  /** The window was probed once more. */
  probed(): void {
    this.timeouts++
    this.rtoMs = Math.min(this.rtoMs * 2, MOST_RTO_MS)
  }

  #measure(acknowledgment: number, nowMs: number): void {
    const timed = this.#timed
    if (!timed || after(acknowledgment, timed.sequence) < 0) {
      this.#resetRto()
      return
    }
    this.#timed = undefined
    const roundMs = nowMs - timed.sentMs
    if (this.#smoothMs === undefined) {
      this.#smoothMs = roundMs
      this.#variationMs = roundMs / 2
    } else {
      this.#variationMs += (Math.abs(this.#smoothMs - roundMs) - this.#variationMs) / 4
      this.#smoothMs += (roundMs - this.#smoothMs) / 8
    }
    this.#resetRto()
  }

  /** The timeout without what unanswered attempts made of it. */
  #resetRto(): void {
    const wish = this.#smoothMs === undefined
      ? FIRST_RTO_MS : this.#smoothMs + 4 * this.#variationMs
    this.rtoMs = Math.min(Math.max(wish, LEAST_RTO_MS), MOST_RTO_MS)
  }
}

const NOTHING = new Uint8Array(0)
