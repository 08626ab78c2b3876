/**
 * Where two engines' outcomes of one case differ, in words.
 */
import { at, CASE_BYTES, type Cases, ENTRY, fxAt, WINDOW_BYTES } from './layout.ts'

const ARITHMETIC = 0xcd5
const PAGE_FAULT = 14
const GENERAL_PROTECTION = 13
const STACK_FAULT = 12
const registerNames = [
  'rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi',
  'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
]
const flagLetters: readonly (readonly [string, number])[] = [
  ['c', 1], ['p', 4], ['a', 16], ['z', 64], ['s', 128], ['d', 0x400], ['o', 0x800],
]

/** The bits of RFLAGS that letters of `oszapc` name. */
export function flagMask(letters: string): number {
  return flagLetters.reduce((sum, [letter, bit]) => letters.includes(letter) ? sum | bit : sum, 0)
}

/** The exception, or -1. Control that went to a page without code shows as a fault at its end. */
function vectorOf(outcomes: Cases, index: number): number {
  const vector = outcomes.u32(index, at.vector) | 0
  const moved = outcomes.u64(index, at.rip) !== BigInt(ENTRY)
  if ((vector === PAGE_FAULT || vector === GENERAL_PROTECTION) && moved) return -1
  // Only the engines that know segments tell these two apart.
  return vector === STACK_FAULT ? GENERAL_PROTECTION : vector
}

/** `host` is right, `other` under test; flags in `ignoredFlags` do not count. */
export function difference(
  host: Cases, other: Cases, index: number, ignoredFlags: number,
): string | undefined {
  const expected = vectorOf(host, index)
  const vector = vectorOf(other, index)
  if (vector !== expected) return `vector ${vector} for ${expected}`
  const changed = Number(host.u64(index, at.flags) ^ other.u64(index, at.flags) & 0xffffffffn)
  const flags = changed & ARITHMETIC & ~ignoredFlags
  if (flags === 0 && same(host, other, index)) return undefined
  const problems: string[] = []
  for (let i = 0; i < 16; i++) {
    const [a, b] = [host.u64(index, at.gpr + i * 8), other.u64(index, at.gpr + i * 8)]
    if (a !== b) problems.push(`${registerNames[i]} ${b.toString(16)} for ${a.toString(16)}`)
  }
  if (flags) {
    const letters = flagLetters.filter(([, bit]) => flags & bit).map(([letter]) => letter)
    problems.push(`flags ${letters.join('')}`)
  }
  const [rip, otherRip] = [host.u64(index, at.rip), other.u64(index, at.rip)]
  if (rip !== otherRip) problems.push(`rip ${otherRip.toString(16)} for ${rip.toString(16)}`)
  problems.push(...floatDifferences(host, other, index))
  if (host.u32(index, at.stray) !== other.u32(index, at.stray)) problems.push('stray')
  const a = host.slice(index, at.window, WINDOW_BYTES)
  const b = other.slice(index, at.window, WINDOW_BYTES)
  const byte = a.findIndex((value, i) => value !== b[i])
  if (byte >= 0) problems.push(`memory at ${byte}: ${hex(b, byte)} for ${hex(a, byte)}`)
  return problems.length ? problems.join(', ') : undefined
}

/** All but what `difference` compares with allowances; a quick look, nearly always enough. */
function same(host: Cases, other: Cases, index: number): boolean {
  const start = index * CASE_BYTES
  const a = Buffer.from(host.bytes.buffer, host.bytes.byteOffset + start, CASE_BYTES)
  const b = Buffer.from(other.bytes.buffer, other.bytes.byteOffset + start, CASE_BYTES)
  const equal = (from: number, to: number) => a.compare(b, from, to, from, to) === 0
  if (!equal(at.gpr, at.flags) || !equal(at.rip, at.rip + 8) || !equal(at.stray, at.stray + 4)) {
    return false
  }
  const { fx } = at
  if (!equal(fx, fx + 5) || !equal(fx + fxAt.mxcsr, fx + fxAt.mxcsr + 4)) return false
  for (let i = 0; i < 8; i++) {
    const st = fx + fxAt.st + i * 16
    if (!equal(st, st + 10)) return false
  }
  return equal(fx + fxAt.xmm, CASE_BYTES)
}

function hex(bytes: Uint8Array, from: number): string {
  return Buffer.from(bytes.subarray(from, from + 16)).toString('hex')
}

function floatDifferences(host: Cases, other: Cases, index: number): string[] {
  const problems: string[] = []
  for (let i = 0; i < 16; i++) {
    const place = at.fx + fxAt.xmm + i * 16
    const a = Buffer.from(host.slice(index, place, 16))
    const b = Buffer.from(other.slice(index, place, 16))
    if (!a.equals(b)) {
      problems.push(`xmm${i} ${hexBig(b)} for ${hexBig(a)}`)
    }
    const high = Buffer.from(host.slice(index, at.high + i * 16, 16))
    const otherHigh = Buffer.from(other.slice(index, at.high + i * 16, 16))
    if (!high.equals(otherHigh)) problems.push(`ymm${i} ${hexBig(otherHigh)} for ${hexBig(high)}`)
  }
  const mxcsr = host.u32(index, at.fx + fxAt.mxcsr)
  const otherMxcsr = other.u32(index, at.fx + fxAt.mxcsr)
  if (mxcsr !== otherMxcsr) {
    problems.push(`mxcsr ${otherMxcsr.toString(16)} for ${mxcsr.toString(16)}`)
  }
  for (const name of ['control', 'status', 'tags'] as const) {
    const mask = name === 'tags' ? 0xff : 0xffff
    const a = host.u16(index, at.fx + fxAt[name]) & mask
    const b = other.u16(index, at.fx + fxAt[name]) & mask
    if (a !== b) problems.push(`${name} ${b.toString(16)} for ${a.toString(16)}`)
  }
  for (let i = 0; i < 8; i++) {
    const place = at.fx + fxAt.st + i * 16
    const a = Buffer.from(host.slice(index, place, 10))
    const b = Buffer.from(other.slice(index, place, 10))
    if (!a.equals(b)) problems.push(`st${i} ${hexBig(b)} for ${hexBig(a)}`)
  }
  return problems
}

/** Little-endian bytes as a number is written. */
function hexBig(bytes: Buffer): string {
  return Buffer.from(bytes).reverse().toString('hex')
}
