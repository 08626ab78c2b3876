/**
 * Row patterns (definition.ts) as the decoder's tables need them: opcode map, byte, conditions.
 */
import { assert } from '../../base/assert.ts'
import type { Definition, Row } from '../definition.ts'

/** Opcode maps: one byte, 0f, 0f 38, 0f 3a; the same three with a VEX prefix are 5, 6, 7. */
export const MAP_BYTE = 0
export const MAP_0F = 1
export const MAP_0F38 = 2
export const MAP_0F3A = 3
export const MAP_VEX = 4

/** What stands in the place of a mandatory prefix: F2 and F3 beat 66. */
export const PREFIX_NONE = 0
export const PREFIX_66 = 1
export const PREFIX_F3 = 2
export const PREFIX_F2 = 3

export interface Pattern {
  readonly definition: Definition
  readonly row: Row
  readonly map: number
  /** First opcode byte in its map, and how many follow it with the same row (8 for +r). */
  readonly opcode: number
  readonly opcodes: number
  /** One bit a value of PREFIX_*. */
  readonly prefixes: number
  readonly mandatory66: boolean
  /** One bit a value of REX.W or VEX.W. */
  readonly w: number
  /** One bit a value of VEX.L. */
  readonly l: number
  /** VEX.vvvv names an operand; else it must be 1111b. */
  readonly usesVvvv: boolean
  readonly hasModrm: boolean
  /** ModRM must equal `modrmValue` in the bits of `modrmMask`. */
  readonly modrmMask: number
  readonly modrmValue: number
  /** 'm', 'r', or '' when ModRM may name either. */
  readonly form: string
  /** Among rows that match, the highest wins. */
  readonly rank: number
}

const prefixSets: Readonly<Record<string, number>> = {
  np: 1 << PREFIX_NONE,
  nfx: 1 << PREFIX_NONE | 1 << PREFIX_66,
  66: 1 << PREFIX_66,
  f3: 1 << PREFIX_F3,
  f2: 1 << PREFIX_F2,
}
const ALL_PREFIXES = 15
const maps: Readonly<Record<string, number>> = { '0f': MAP_0F, '0f38': MAP_0F38, '0f3a': MAP_0F3A }

/** Analyses a row. Throws Bug when its pattern or operand codes break the notation. */
export function patternOf(definition: Definition, row: Row): Pattern {
  const where = `${definition.name}: ${row.pattern}`
  const tokens = row.pattern.split(' ')
  const head = headOf(tokens)
  const bytes: number[] = []
  let plusR = false
  while (/^[0-9a-f]{2}(\+r)?$/.test(tokens[0] ?? '')) {
    const token = tokens.shift()!
    bytes.push(Number.parseInt(token.slice(0, 2), 16))
    plusR = token.endsWith('+r')
  }
  let map = head.map
  let opcode = bytes.shift()
  if (map === MAP_BYTE && opcode === 0x0f && bytes.length > 0) {
    map = MAP_0F
    opcode = bytes.shift()
    if ((opcode === 0x38 || opcode === 0x3a) && bytes.length > 0) {
      map = opcode === 0x38 ? MAP_0F38 : MAP_0F3A
      opcode = bytes.shift()
    }
  }
  assert(opcode !== undefined && bytes.length < 2, where)
  const modrm = modrmOf(bytes[0], plusR, tokens)
  assert(tokens.length === 0, `${where}: what is ${tokens.join(' ')}?`)
  const form = ignoresMode(row) ? '' : modrm.form || formOf(row.operands)
  return {
    definition, row, map, opcode,
    opcodes: plusR && !modrm.present ? 8 : 1,
    prefixes: head.prefixes, mandatory66: head.prefixes === 1 << PREFIX_66,
    w: head.w, l: head.l, usesVvvv: row.operands.some((code) => /^[BH][a-z]+$/.test(code)),
    hasModrm: modrm.present,
    modrmMask: modrm.mask, modrmValue: modrm.value, form,
    rank: (head.prefixes === ALL_PREFIXES ? 0 : head.prefixes === prefixSets['nfx'] ? 32 : 64)
      + (head.w === 3 ? 0 : 1) + (form ? 2 : 0) + bitCount(modrm.mask) * 4,
  }
}

function headOf(tokens: string[]) {
  const head = { map: MAP_BYTE, prefixes: ALL_PREFIXES, w: 3, l: 3 }
  if (tokens[0]?.startsWith('vex.')) {
    head.map = MAP_VEX
    head.prefixes = 1 << PREFIX_NONE
    for (const part of tokens.shift()!.split('.').slice(1)) {
      if (part in maps) head.map += maps[part]!
      else if (part in prefixSets) head.prefixes = prefixSets[part]!
      else if (part === 'w0' || part === 'w1') head.w = 1 << Number(part[1])
      else if (part === 'l0' || part === 'l1') head.l = 1 << Number(part[1])
      else assert(part === 'lig' || part === 'wig', `VEX with ${part}`)
    }
    assert(head.map > MAP_VEX, 'VEX needs a map')
    return head
  }
  if (tokens[0]! in prefixSets) head.prefixes = prefixSets[tokens.shift()!]!
  if (tokens[0] === 'w0' || tokens[0] === 'w1') head.w = 1 << Number(tokens.shift()![1])
  return head
}

function modrmOf(exact: number | undefined, plusR: boolean, tokens: string[]) {
  if (exact !== undefined) {
    return { present: true, mask: plusR ? 0xf8 : 0xff, value: exact, form: 'r' }
  }
  const slash = /^\/([0-7r])$/.exec(tokens[0] ?? '')
  if (!slash) return { present: false, mask: 0, value: 0, form: '' }
  tokens.shift()
  const form = tokens[0] === 'm' || tokens[0] === 'r' ? tokens.shift()! : ''
  if (slash[1] === 'r') return { present: true, mask: 0, value: 0, form }
  return { present: true, mask: 0x38, value: Number(slash[1]) << 3, form }
}

/** MOV to and from control and debug registers takes ModRM for a register, whatever it says. */
export function ignoresMode(row: Row): boolean {
  return row.operands.some((code) => /^[CD][dqvy]$/.test(code))
}

/** Operand codes that allow only one form of ModRM. */
function formOf(codes: readonly string[]): string {
  if (codes.some((code) => /^[MK][a-z]*$/.test(code))) return 'm'
  return codes.some((code) => /^[RUN][a-z]+$/.test(code)) ? 'r' : ''
}

function bitCount(value: number): number {
  let count = 0
  for (let rest = value; rest; rest &= rest - 1) count += 1
  return count
}
