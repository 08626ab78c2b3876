/**
 * Time as the host gives it: injected, so that a whole host can run deterministically.
 */
export interface Clock {
  /** Nanoseconds since the host started, monotonic; whole or with a fraction. */
  now(): number
  /** Milliseconds since 1970, UTC. */
  wallClockMs(): number
}

/** A clock that moves only when told. */
export class ManualClock implements Clock {
  nowNs = 0
  wallMs = 0

  now(): number {
    return this.nowNs
  }

  wallClockMs(): number {
    return this.wallMs
  }
}
