/**
 * The x86 branch filter of XZ: turns the operands of CALL and JMP back from absolute to relative.
 *
 * The packer adds the position to the four bytes after 0xe8 and 0xe9 when they look plausible as a
 * displacement (the top byte is 0x00 or 0xff), and skips opcodes that lie inside the operand of one
 * before. `mask` remembers which of the last three bytes were such opcodes, because both sides must
 * skip the same ones.
 */
const OPERAND = 4
/** By mask: whether an opcode may follow, and which byte of its operand the earlier one ends in. */
const MAY_FOLLOW = [true, true, true, false, true, false, false, false]
const BYTES_SHARED = [0, 1, 2, 2, 3, 3, 3, 3]

/** Restores `bytes`, the whole of a block, in place. */
export function undoX86Filter(bytes: Uint8Array): void {
  let mask = 0
  let last = -1
  const end = bytes.length - OPERAND
  for (let at = 0; at < end; at++) {
    if ((bytes[at]! & 0xfe) !== 0xe8) continue
    const gap = at - last
    last = at
    mask = gap > 3 ? 0 : mask << gap - 1 & 7
    if (mask !== 0) {
      const shared = bytes[at + OPERAND - BYTES_SHARED[mask]!]!
      if (!MAY_FOLLOW[mask] || isSign(shared)) {
        mask = mask << 1 & 7 | 1
        continue
      }
    }
    if (!isSign(bytes[at + OPERAND]!)) {
      mask = mask << 1 & 7 | 1
      continue
    }
    const target = bytes[at + 1]! | bytes[at + 2]! << 8 | bytes[at + 3]! << 16 |
      bytes[at + 4]! << 24
    const operand = relative(target, at + 1 + OPERAND, mask)
    bytes[at + 1] = operand
    bytes[at + 2] = operand >> 8
    bytes[at + 3] = operand >> 16
    bytes[at + 4] = operand >> 24 & 1 ? 0xff : 0
    at += OPERAND
  }
}

function isSign(byte: number): boolean {
  return byte === 0 || byte === 0xff
}

function relative(target: number, next: number, mask: number): number {
  let source = target
  for (;;) {
    const operand = source - next | 0
    if (mask === 0) return operand
    const bits = BYTES_SHARED[mask]! * 8
    if (!isSign(operand >>> 24 - bits & 0xff)) return operand
    // The packer took the shared bytes' complement here, so that its own reader skips as it did.
    source = operand ^ (1 << 32 - bits) - 1
  }
}
