/**
 * A writer of ACPI Machine Language, as small as our DSDT: scopes, devices, names, constants and
 * buffers.
 *
 * Obeys the ACPI specification 6.5, section 20.2. Each function gives the bytes of one term.
 */
import { assert } from '../../../base/assert.ts'

const NAME_OP = 0x08
const BYTE_PREFIX = 0x0a
const WORD_PREFIX = 0x0b
const DWORD_PREFIX = 0x0c
const STRING_PREFIX = 0x0d
const SCOPE_OP = 0x10
const BUFFER_OP = 0x11
const EXTENDED_PREFIX = 0x5b
const DEVICE_OP = 0x82
const ROOT_CHARACTER = '\\'.charCodeAt(0)

export type Aml = readonly number[]

export function integer(value: number): Aml {
  assert(Number.isInteger(value) && value >= 0 && value < 2 ** 32, 'an AML integer of 32 bits')
  if (value <= 1) return [value]
  if (value < 0x100) return [BYTE_PREFIX, value]
  if (value < 0x10000) return [WORD_PREFIX, value & 0xff, value >>> 8]
  return [DWORD_PREFIX, value & 0xff, value >>> 8 & 0xff, value >>> 16 & 0xff, value >>> 24]
}

export function string(text: string): Aml {
  return [STRING_PREFIX, ...ascii(text), 0]
}

export function buffer(bytes: Uint8Array): Aml {
  return [BUFFER_OP, ...packaged([...integer(bytes.length), ...bytes])]
}

export function name(segment: string, value: Aml): Aml {
  return [NAME_OP, ...nameSegment(segment), ...value]
}

/** A scope directly under the root: `\_SB`. */
export function rootScope(segment: string, terms: readonly Aml[]): Aml {
  return [SCOPE_OP, ...packaged([ROOT_CHARACTER, ...nameSegment(segment), ...terms.flat()])]
}

export function device(segment: string, terms: readonly Aml[]): Aml {
  return [EXTENDED_PREFIX, DEVICE_OP, ...packaged([...nameSegment(segment), ...terms.flat()])]
}

/** A name of up to four characters, filled up with underscores. */
function nameSegment(segment: string): Aml {
  assert(/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment), `a name in ACPI: ${segment}`)
  return ascii(segment.padEnd(4, '_'))
}

function ascii(text: string): Aml {
  return Array.from(text, (character) => character.charCodeAt(0))
}

/** `body` behind its length, which counts itself too: one byte up to 63, else up to four. */
function packaged(body: Aml): Aml {
  if (body.length + 1 < 0x40) return [body.length + 1, ...body]
  let extra = 1
  while (body.length + 1 + extra >= 2 ** (4 + 8 * extra)) extra++
  const length = body.length + 1 + extra
  const bytes = [extra << 6 | length & 0xf]
  for (let i = 0; i < extra; i++) bytes.push(length >>> 4 + 8 * i & 0xff)
  return [...bytes, ...body]
}
