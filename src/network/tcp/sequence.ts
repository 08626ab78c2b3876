/**
 * TCP's sequence numbers: 32 bits that go round (RFC 9293 section 3.4).
 */
/** How far `a` is after `b`; negative when it is before. */
export function after(a: number, b: number): number {
  return a - b | 0
}

export function advance(sequence: number, by: number): number {
  return sequence + by >>> 0
}
