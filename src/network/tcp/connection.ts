/**
 * One end of a TCP connection.
 *
 * Obeys RFC 9293 section 3.10 with RFC 5961's answers to blind resets and SYNs; windows are scaled
 * as RFC 7323 says. Left out: opening from both sides at once, urgent data, selective
 * acknowledgments, time stamps. The link is within one machine, so the wait before an address may
 * be used again is short.
 */
import type { Timers } from '../timers.ts'
import { Receiver } from './receiver.ts'
import { ACK, FIN, NO_BYTES, PSH, RST, type Segment, SYN } from './segment.ts'
import { Sender } from './sender.ts'
import { advance, after } from './sequence.ts'

export type TcpState =
  | 'SYN-SENT' | 'SYN-RECEIVED' | 'ESTABLISHED' | 'FIN-WAIT-1' | 'FIN-WAIT-2' | 'CLOSE-WAIT'
  | 'CLOSING' | 'LAST-ACK' | 'TIME-WAIT' | 'CLOSED'

/** How a connection was over. */
export type TcpEnd = 'closed' | 'reset' | 'timeout'

/** Whoever has the connection; none of these may throw. */
export interface TcpOwner {
  /** Puts a segment on its way; one of more than `largest` payload bytes is to be cut. */
  transmit(segment: Segment, largest: number): void
  connected(): void
  /** The next bytes; `consume` says when there is room for as many again. */
  received(bytes: Uint8Array): void
  /** The peer sends nothing more. */
  ended(): void
  /** After `write` said no: there is room again. */
  drained(): void
  /** The last call. */
  closed(how: TcpEnd): void
}

/** What each direction of a connection may keep, unless said otherwise: a guest and we wake one
 * another the less often, the more there is at a time. */
const BUFFER_BYTES = 512 * 1024
const RECEIVE_SCALE = 4
/** What comes in order is acknowledged after this part of the buffer, or so long, together. */
const ACKNOWLEDGED_PART = 1 / 4
const ACKNOWLEDGE_MS = 1
const DEFAULT_SEGMENT = 536
const LEAST_SEGMENT = 64
const TIME_WAIT_MS = 2000
const HANDSHAKE_TRIES = 6
const RETRIES = 15
/** Probes of a closed window go on while they are answered, and so often unanswered. */
const PROBES = 15

export class TcpConnection {
  state: TcpState
  readonly #owner: TcpOwner
  readonly #timers: Timers
  /** The payload that fits a frame of ours. */
  readonly #ownSegment: number
  readonly #bufferBytes: number
  readonly #initial: number
  #sender: Sender | undefined
  #receiver: Receiver | undefined
  #sendScale = 0
  #receiveScale = 0
  /** Sequence and acknowledgment of the segment that last changed the window. */
  #windowSequence = 0
  #windowAcknowledgment = 0
  #cancelTimer: (() => void) | undefined
  #cancelAcknowledge: (() => void) | undefined
  /** The last acknowledgment that we sent. */
  #acknowledgedTo = 0
  #tries = 0
  #finSent = false
  #waitsForRoom = false

  private constructor(
    state: TcpState, initial: number, ownSegment: number, timers: Timers, owner: TcpOwner,
    bufferBytes: number,
  ) {
    this.state = state
    this.#initial = initial
    this.#ownSegment = ownSegment
    this.#bufferBytes = bufferBytes
    this.#timers = timers
    this.#owner = owner
  }

  /** Answers a peer's SYN. `initial` is our first number, which should not be guessable. */
  static accept(
    syn: Segment, initial: number, ownSegment: number, timers: Timers, owner: TcpOwner,
    bufferBytes = BUFFER_BYTES,
  ): TcpConnection {
    const connection = new TcpConnection(
      'SYN-RECEIVED', initial, ownSegment, timers, owner, bufferBytes)
    connection.#agree(syn)
    connection.#handshake()
    return connection
  }

  /** Opens a connection. */
  static connect(
    initial: number, ownSegment: number, timers: Timers, owner: TcpOwner,
    bufferBytes = BUFFER_BYTES,
  ): TcpConnection {
    const connection = new TcpConnection(
      'SYN-SENT', initial, ownSegment, timers, owner, bufferBytes)
    connection.#handshake()
    return connection
  }

  /** Sends `bytes`, which nobody may change; false asks to wait for `drained`. */
  write(bytes: Uint8Array): boolean {
    const sender = this.#sender
    if (!sender || this.#finSent || this.state === 'CLOSED') return true
    sender.write(bytes, this.#timers.now())
    this.#schedule()
    this.#waitsForRoom = sender.length >= this.#bufferBytes
    return !this.#waitsForRoom
  }

  /** Sends nothing more after what was written. */
  end(): void {
    if (this.#finSent || this.state === 'CLOSED') return
    this.#finSent = true
    if (this.state === 'SYN-SENT' || this.state === 'SYN-RECEIVED') return
    this.#sendFin()
  }

  #sendFin(): void {
    this.state = this.state === 'CLOSE-WAIT' ? 'LAST-ACK' : 'FIN-WAIT-1'
    this.#sender?.end(this.#timers.now())
    this.#schedule()
  }

  /** Breaks the connection: the peer is told by RST. */
  abort(): void {
    const sender = this.#sender
    if (sender && this.state !== 'CLOSED' && this.state !== 'TIME-WAIT') {
      this.#transmit(sender.highest, RST | ACK, NO_BYTES)
    }
    this.#close('reset')
  }

  /** The owner is done with `count` bytes of what it received. */
  consume(count: number): void {
    const receiver = this.#receiver
    if (receiver?.consume(count, this.#ownSegment) && this.state !== 'CLOSED') this.#acknowledge()
  }

  /** Takes a segment of the peer. */
  input(segment: Segment): void {
    if (this.state === 'CLOSED') return
    if (this.state === 'SYN-SENT') return this.#inputSynSent(segment)
    const receiver = this.#receiver!
    const { sequence, flags, payload } = segment
    const length = payload.length + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0)
    if (!receiver.isAcceptable(sequence, length)) {
      if (this.state === 'SYN-RECEIVED' && flags & SYN) return this.#handshake()
      if (flags & RST) return
      // An acknowledgment counts even where a window is closed, or a probe of ours is answered.
      if (flags & ACK && length === 0 || sequence === receiver.next) this.#inputAck(segment)
      return this.#acknowledgeUnlessPure(length, sequence)
    }
    if (flags & RST) {
      if (sequence === receiver.next) this.#close('reset')
      else this.#acknowledge()
      return
    }
    if (flags & SYN) return this.#acknowledge()
    if ((flags & ACK) === 0 || !this.#inputAck(segment)) return
    this.#inputData(segment)
  }

  /** What lies outside the window is answered, except our own kind of answer. */
  #acknowledgeUnlessPure(length: number, sequence: number): void {
    const old = this.#receiver && after(sequence, this.#receiver.next) < 0
    if (length > 0 || old) this.#acknowledge()
  }

  #inputSynSent({ flags, acknowledgment, ...segment }: Segment): void {
    const isOurs = acknowledgment === advance(this.#initial, 1)
    if ((flags & ACK) === 0 || !isOurs) return
    if (flags & RST) return this.#close('reset')
    if ((flags & SYN) === 0) return
    this.#agree({ flags, acknowledgment, ...segment })
    this.#establish({ flags, acknowledgment, ...segment })
    if (this.state as TcpState === 'CLOSED') return
    this.#acknowledge()
    this.#schedule()
  }

  /** Learns what a SYN says of the peer. */
  #agree(syn: Segment): void {
    const scaled = syn.windowScale !== undefined
    this.#sendScale = syn.windowScale ?? 0
    this.#receiveScale = scaled ? RECEIVE_SCALE : 0
    const theirs = Math.max(syn.largestSegment ?? DEFAULT_SEGMENT, LEAST_SEGMENT)
    const capacity = scaled ? this.#bufferBytes : 0xffff
    this.#receiver = new Receiver(advance(syn.sequence, 1), capacity, this.#receiveScale,
      (bytes) => this.#owner.received(bytes))
    this.#sender = new Sender(advance(this.#initial, 1), Math.min(theirs, this.#ownSegment),
      (sequence, bytes, fin) =>
        this.#transmit(sequence, ACK | (fin ? FIN : 0) | (bytes.length > 0 ? PSH : 0), bytes))
    this.#windowSequence = syn.sequence
    this.#acknowledgedTo = this.#receiver.next
  }

  /** Sends SYN, with ACK if the peer's has come, and again if it is not answered. */
  #handshake(): void {
    if (this.#tries++ > HANDSHAKE_TRIES) return this.#close('timeout')
    const receiver = this.#receiver
    this.#owner.transmit({
      sequence: this.#initial, acknowledgment: receiver?.next ?? 0,
      flags: receiver ? SYN | ACK : SYN,
      // The window of a SYN cannot be scaled either.
      window: 0xffff, payload: NO_BYTES, largestSegment: this.#ownSegment,
      windowScale: !receiver || this.#receiveScale > 0 ? RECEIVE_SCALE : undefined,
    }, this.#ownSegment)
    receiver?.promise(0xffff)
    this.#startTimer(500 * 2 ** this.#tries, () => this.#handshake())
  }

  #establish(segment: Segment): void {
    this.state = 'ESTABLISHED'
    this.#stopTimer()
    // Until now the window was closed; that of a SYN is not scaled.
    this.#sender?.setWindow(segment.window << (segment.flags & SYN ? 0 : this.#sendScale))
    this.#owner.connected()
    // Its owner may have been quick to end it, or even to break it off.
    if (this.#finSent && this.state as TcpState === 'ESTABLISHED') this.#sendFin()
    else if (this.state as TcpState !== 'CLOSED') this.#sender?.push(this.#timers.now())
  }

  /** Takes an acknowledgment and the window; false when the segment goes no further. */
  #inputAck(segment: Segment): boolean {
    const sender = this.#sender!
    const { acknowledgment, sequence, payload, flags } = segment
    if (sender.isBeyond(acknowledgment)) {
      if (this.state === 'SYN-RECEIVED') this.#reject(acknowledgment)
      else this.#acknowledge()
      return false
    }
    if (this.state === 'SYN-RECEIVED') {
      if (acknowledgment !== sender.una) return false
      this.#establish(segment)
    }
    const window = segment.window << this.#sendScale
    const isNews = after(sequence, this.#windowSequence) > 0 ||
      sequence === this.#windowSequence && after(acknowledgment, this.#windowAcknowledgment) >= 0
    const sameWindow = window === sender.window
    if (isNews && after(acknowledgment, sender.una) >= 0) {
      sender.setWindow(window)
      this.#windowSequence = sequence
      this.#windowAcknowledgment = acknowledgment
    }
    if (sender.isStuck) sender.timeouts = 0
    const before = sender.una
    const pure = payload.length === 0 && sameWindow && (flags & FIN) === 0
    sender.acknowledge(acknowledgment, pure, this.#timers.now())
    this.#acknowledged()
    if (this.state !== 'CLOSED' && this.state !== 'TIME-WAIT') this.#schedule(sender.una !== before)
    return this.state !== 'CLOSED'
  }

  #acknowledged(): void {
    const sender = this.#sender!
    if (this.#waitsForRoom && sender.length < this.#bufferBytes / 2) {
      this.#waitsForRoom = false
      this.#owner.drained()
    }
    if (!sender.isFinished) return
    if (this.state === 'FIN-WAIT-1') this.state = 'FIN-WAIT-2'
    else if (this.state === 'CLOSING') this.#timeWait()
    else if (this.state === 'LAST-ACK') this.#close('closed')
  }

  #inputData({ sequence, payload, flags }: Segment): void {
    const receiver = this.#receiver!
    if (payload.length === 0 && (flags & FIN) === 0) return
    const was = receiver.ended
    const usual = sequence === receiver.next && !receiver.hasGaps && (flags & FIN) === 0
    receiver.take(sequence, payload, (flags & FIN) !== 0)
    if (this.state as TcpState === 'CLOSED') return
    if (usual) this.#acknowledgeSoon()
    else this.#acknowledge()
    if (was || !receiver.ended) {
      if (this.state === 'TIME-WAIT') this.#timeWait()
      return
    }
    if (this.state === 'ESTABLISHED') this.state = 'CLOSE-WAIT'
    else if (this.state === 'FIN-WAIT-1') this.state = 'CLOSING'
    else if (this.state === 'FIN-WAIT-2') this.#timeWait()
    this.#owner.ended()
  }

  /** Each acknowledgment costs the guest an interrupt, so several segments have one. */
  #acknowledgeSoon(): void {
    const owed = after(this.#receiver!.next, this.#acknowledgedTo)
    if (owed === 0) return
    if (owed >= this.#bufferBytes * ACKNOWLEDGED_PART) return this.#acknowledge()
    this.#cancelAcknowledge ??= this.#timers.after(ACKNOWLEDGE_MS, () => this.#acknowledge())
  }

  #acknowledge(): void {
    if (this.#sender) this.#transmit(this.#sender.highest, ACK, NO_BYTES)
  }

  /** RST to one who acknowledges what we never sent. */
  #reject(acknowledgment: number): void {
    this.#transmit(acknowledgment, RST, NO_BYTES)
  }

  #transmit(sequence: number, flags: number, payload: Uint8Array): void {
    const receiver = this.#receiver!
    this.#acknowledgedTo = receiver.next
    this.#cancelAcknowledge?.()
    this.#cancelAcknowledge = undefined
    this.#owner.transmit({
      sequence, acknowledgment: receiver.next, flags, window: receiver.announce(), payload,
    }, this.#sender?.segment ?? this.#ownSegment)
  }

  /** Lets the timer run while something is unanswered; `fresh` starts it anew. */
  #schedule(fresh = false): void {
    const sender = this.#sender!
    if (sender.inFlight === 0 && !sender.isStuck) return this.#stopTimer()
    if (this.#cancelTimer && !fresh) return
    this.#startTimer(sender.rtoMs, () => this.#onTimer())
  }

  #onTimer(): void {
    const sender = this.#sender!
    if (sender.timeouts >= (sender.isStuck ? PROBES : RETRIES)) {
      this.#transmit(sender.highest, RST | ACK, NO_BYTES)
      return this.#close('timeout')
    }
    if (sender.isStuck) {
      // An old number makes the peer tell its window.
      this.#transmit(advance(sender.una, -1), ACK, NO_BYTES)
      sender.probed()
    } else {
      sender.onTimer(this.#timers.now())
    }
    this.#schedule()
  }

  #timeWait(): void {
    this.state = 'TIME-WAIT'
    this.#startTimer(TIME_WAIT_MS, () => this.#close('closed'))
  }

  #close(how: TcpEnd): void {
    if (this.state === 'CLOSED') return
    this.state = 'CLOSED'
    this.#stopTimer()
    this.#cancelAcknowledge?.()
    this.#cancelAcknowledge = undefined
    this.#owner.closed(how)
  }

  #startTimer(ms: number, work: () => void): void {
    this.#stopTimer()
    this.#cancelTimer = this.#timers.after(ms, () => {
      this.#cancelTimer = undefined
      work()
    })
  }

  #stopTimer(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }
}
