/**
 * What a core's compiled regions have come to, for who wants to know: tests and statistics.
 */

/** What was done so far. */
export interface JitCounts {
  /** Regions and instructions that were asked for. */
  asked: number
  instructions: number
  /** Of those, the wide ones. */
  widened: number
  /** Regions that came, and the bytes of their modules. */
  compiled: number
  bytes: number
  /** Regions that were entered because their code was known, without being asked for. */
  known: number
  /** Regions that were forgotten because their code was written to, and for want of room. */
  rewritten: number
  evicted: number
  /** Hot code that was not compiled: because it is being compiled, or is written to often. */
  pending: number
  putOff: number
}

export function noCounts(): JitCounts {
  return {
    asked: 0, instructions: 0, widened: 0, compiled: 0, bytes: 0, known: 0, rewritten: 0,
    evicted: 0, pending: 0, putOff: 0,
  }
}
