/**
 * A TCP segment: read from bytes and written to them (RFC 9293 section 3.1, RFC 7323 section 2).
 *
 * Of the options only the largest segment and the scale of windows are understood.
 */
import { putU16, putU32, u16At, u32At } from '../frame.ts'

export const FIN = 1
export const SYN = 2
export const RST = 4
export const PSH = 8
export const ACK = 16

export interface Segment {
  readonly sequence: number
  readonly acknowledgment: number
  readonly flags: number
  /** As it stands in the header, not scaled. */
  readonly window: number
  readonly payload: Uint8Array
  /** Only with SYN. */
  readonly largestSegment?: number | undefined
  readonly windowScale?: number | undefined
}

const TCP_HEADER = 20
export const NO_BYTES = new Uint8Array(0)

const OPTION_END = 0
const OPTION_NOP = 1
const OPTION_MSS = 2
const OPTION_SCALE = 3
const MOST_SCALE = 14

/** The segment at `start`; undefined when its header is cut short. */
export function readSegment(bytes: Uint8Array, start: number, end: number): Segment | undefined {
  if (end - start < TCP_HEADER) return undefined
  const data = start + ((bytes[start + 12] ?? 0) >> 4) * 4
  if (data < start + TCP_HEADER || data > end) return undefined
  const flags = bytes[start + 13] ?? 0
  const options = flags & SYN ? readOptions(bytes, start + TCP_HEADER, data) : {}
  return {
    sequence: u32At(bytes, start + 4), acknowledgment: u32At(bytes, start + 8), flags,
    window: u16At(bytes, start + 14), payload: bytes.subarray(data, end), ...options,
  }
}

function readOptions(
  bytes: Uint8Array, start: number, end: number,
): Pick<Segment, 'largestSegment' | 'windowScale'> {
  let largestSegment: number | undefined
  let windowScale: number | undefined
  for (let at = start; at < end;) {
    const kind = bytes[at] ?? OPTION_END
    if (kind === OPTION_END) break
    if (kind === OPTION_NOP) {
      at++
      continue
    }
    const length = bytes[at + 1] ?? 0
    if (length < 2 || at + length > end) break
    if (kind === OPTION_MSS && length === 4) largestSegment = u16At(bytes, at + 2)
    if (kind === OPTION_SCALE && length === 3) {
      windowScale = Math.min(bytes[at + 2] ?? 0, MOST_SCALE)
    }
    at += length
  }
  return { largestSegment, windowScale }
}

/** How long a segment is in bytes, header and all. */
export function segmentLength(segment: Segment): number {
  return TCP_HEADER + optionsLength(segment) + segment.payload.length
}

function optionsLength({ largestSegment, windowScale }: Segment): number {
  return (largestSegment === undefined ? 0 : 4) + (windowScale === undefined ? 0 : 4)
}

/** Writes a segment at `start`, with a zero checksum. */
export function writeSegment(
  bytes: Uint8Array, start: number, from: number, to: number, segment: Segment,
): void {
  const header = TCP_HEADER + optionsLength(segment)
  putU16(bytes, start, from)
  putU16(bytes, start + 2, to)
  putU32(bytes, start + 4, segment.sequence)
  putU32(bytes, start + 8, segment.acknowledgment)
  bytes[start + 12] = header / 4 << 4
  bytes[start + 13] = segment.flags
  putU16(bytes, start + 14, segment.window)
  putU32(bytes, start + 16, 0)
  let at = start + TCP_HEADER
  if (segment.largestSegment !== undefined) {
    bytes.set([OPTION_MSS, 4], at)
    putU16(bytes, at + 2, segment.largestSegment)
    at += 4
  }
  if (segment.windowScale !== undefined) {
    bytes.set([OPTION_NOP, OPTION_SCALE, 3, segment.windowScale], at)
  }
  bytes.set(segment.payload, start + header)
}
