/**
 * A segment that is too large for a frame, cut into those that are not.
 */
import { FIN, PSH, type Segment } from './segment.ts'
import { advance } from './sequence.ts'

export function wireSegments(segment: Segment, largest: number): Segment[] {
  const { payload } = segment
  if (payload.length <= largest) return [segment]
  const pieces: Segment[] = []
  for (let at = 0; at < payload.length; at += largest) {
    const isLast = at + largest >= payload.length
    pieces.push({
      ...segment, sequence: advance(segment.sequence, at),
      flags: isLast ? segment.flags : segment.flags & ~(FIN | PSH),
      payload: payload.subarray(at, at + largest),
    })
  }
  return pieces
}
