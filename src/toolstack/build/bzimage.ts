/**
 * Linux's bzImage: finds and unpacks the kernel proper, an ELF file, that is packed inside.
 *
 * Obeys Documentation/arch/x86/boot.rst of Linux, boot protocol 2.08 or later, which is what
 * says where the payload lies. The boot code around the payload is not used.
 */
import {
  type HostDecompressor, packedFormatOf, type PackedFormat, unpack,
} from '../../base/compression/formats.ts'
import { isElf } from './elf.ts'
import { ImageError } from './image-error.ts'

/** The most a kernel may unpack to. */
export const KERNEL_LIMIT = 512 * 1024 * 1024

const SETUP_SECTS = 0x1f1
const BOOT_FLAG = 0x1fe
const HEADER_MAGIC = 0x202
const VERSION = 0x206
const PAYLOAD_OFFSET = 0x248
const PAYLOAD_LENGTH = 0x24c
const HEADER_END = 0x250
const SECTOR = 512
const DEFAULT_SECTORS = 4
const BOOT_FLAG_VALUE = 0xaa55
/** "HdrS" */
const HEADER_MAGIC_VALUE = 0x53726448
const FIRST_VERSION = 0x208

export function isBzImage(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER_END) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return view.getUint16(BOOT_FLAG, true) === BOOT_FLAG_VALUE &&
    view.getUint32(HEADER_MAGIC, true) === HEADER_MAGIC_VALUE
}

/** The ELF file inside a bzImage; `name` is what messages call the image. */
export function unpackBzImage(
  bytes: Uint8Array, host: HostDecompressor, name: string,
): Uint8Array {
  const payload = payloadOf(bytes, name)
  if (isElf(payload)) return payload
  const format = packedFormatOf(payload)
  if (!format) {
    throw new ImageError('corrupt', `${name}: the kernel inside is packed in no known format`)
  }
  try {
    return unpackPayload(format, payload, host)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new ImageError('corrupt', `${name}: the kernel inside cannot be unpacked: ${message}`, {
      cause,
    })
  }
}

function payloadOf(bytes: Uint8Array, name: string): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const version = view.getUint16(VERSION, true)
  if (version < FIRST_VERSION) {
    const text = `${version >> 8}.${String(version & 0xff).padStart(2, '0')}`
    throw new ImageError('unsupported', `${name}: boot protocol ${text}; 2.08 or later is needed`)
  }
  const sectors = bytes[SETUP_SECTS]! || DEFAULT_SECTORS
  const start = (sectors + 1) * SECTOR + view.getUint32(PAYLOAD_OFFSET, true)
  const length = view.getUint32(PAYLOAD_LENGTH, true)
  if (start + length > bytes.length) {
    throw new ImageError('truncated', `${name}: truncated: the kernel inside ends at byte ` +
      `${start + length}, the file at ${bytes.length}`)
  }
  return bytes.subarray(start, start + length)
}

/**
 * Linux's build appends the unpacked size, as four bytes, to every payload but gzip's, which ends
 * with just that of its own accord.
 */
function unpackPayload(
  format: PackedFormat, payload: Uint8Array, host: HostDecompressor,
): Uint8Array {
  if (format === 'gzip') return unpack(format, payload, { limit: KERNEL_LIMIT }, host)
  const end = payload.length - 4
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  const size = view.getUint32(end, true)
  if (size > KERNEL_LIMIT) throw new Error(`it claims to unpack to ${size} bytes`)
  const bounds = { limit: size, sizeHint: size }
  const kernel = unpack(format, payload.subarray(0, end), bounds, host)
  if (kernel.length !== size) {
    throw new Error(`it unpacks to ${kernel.length} bytes and not to the ${size} it says`)
  }
  return kernel
}
