/**
 * CRC-32 (ISO-HDLC) and CRC-64 (ECMA-182, reflected) as the XZ format uses them.
 *
 * CRC-32 takes eight bytes a step through eight tables; CRC-64 keeps its value as two 32-bit words.
 */
const CRC32_POLYNOMIAL = 0xedb88320
const CRC64_LOW = 0xd7870f42
const CRC64_HIGH = 0xc96c5795
const SLICES = 8

const crc32Table = crc32Tables()
const crc64Low = new Uint32Array(256)
const crc64High = new Uint32Array(256)
fillCrc64Tables()

/** The CRC-32 of `bytes`, as an unsigned number. `seed` continues an earlier value. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  const t = crc32Table
  let crc = ~seed
  let at = 0
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc ^= bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24
    crc = t[0x700 | crc & 0xff]! ^ t[0x600 | crc >>> 8 & 0xff]! ^ t[0x500 | crc >>> 16 & 0xff]! ^
      t[0x400 | crc >>> 24]! ^ t[0x300 | bytes[at + 4]!]! ^ t[0x200 | bytes[at + 5]!]! ^
      t[0x100 | bytes[at + 6]!]! ^ t[bytes[at + 7]!]!
  }
  for (; at < bytes.length; at++) crc = t[(crc ^ bytes[at]!) & 0xff]! ^ crc >>> 8
  return ~crc >>> 0
}

/** The CRC-64 of `bytes` as its low and high words. */
export function crc64(bytes: Uint8Array): { low: number; high: number } {
  let low = -1
  let high = -1
  for (let at = 0; at < bytes.length; at++) {
    const index = (low ^ bytes[at]!) & 0xff
    low = crc64Low[index]! ^ (low >>> 8 | high << 24)
    high = crc64High[index]! ^ high >>> 8
  }
  return { low: ~low >>> 0, high: ~high >>> 0 }
}

/** Table k at k * 256: the CRC of a byte followed by k zero bytes. */
function crc32Tables(): Int32Array {
  const table = new Int32Array(SLICES * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ CRC32_POLYNOMIAL : crc >>> 1
    table[byte] = crc
  }
  for (let at = 256; at < table.length; at++) {
    const shorter = table[at - 256]!
    table[at] = table[shorter & 0xff]! ^ shorter >>> 8
  }
  return table
}

function fillCrc64Tables(): void {
  for (let byte = 0; byte < 256; byte++) {
    let low = byte
    let high = 0
    for (let bit = 0; bit < 8; bit++) {
      const odd = low & 1
      low = low >>> 1 | high << 31
      high >>>= 1
      if (odd) {
        low ^= CRC64_LOW
        high ^= CRC64_HIGH
      }
    }
    crc64Low[byte] = low
    crc64High[byte] = high
  }
}
