/**
 * What CPUID claims, by leaf.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CpuidResult, defaultPolicy, nativeCpuid } from './cpuid.ts'

const state = { cr4: 0n, xcr0: 1n, apicId: 2, vcpuCount: 4 }

function leaf(number: number, subleaf = 0, more: object = {}): CpuidResult {
  return nativeCpuid(number, subleaf, defaultPolicy, { ...state, ...more })
}

function text(...words: number[]): string {
  return String.fromCharCode(...words.flatMap((word) =>
    [word & 255, word >>> 8 & 255, word >>> 16 & 255, word >>> 24])).replace(/\0+$/, '')
}

test('the vendor is AMD and the brand has at most 48 characters', () => {
  const { eax, ebx, ecx, edx } = leaf(0)
  assert.equal(eax, 0xd)
  assert.equal(text(ebx, edx, ecx), 'AuthenticAMD')
  const words = [2, 3, 4].flatMap((n) => {
    const brand = leaf(0x8000_0000 + n)
    return [brand.eax, brand.ebx, brand.ecx, brand.edx]
  })
  assert.equal(text(...words), defaultPolicy.brand)
})

test('the family is 19h', () => {
  const { eax } = leaf(1)
  assert.equal((eax >>> 8 & 15) + (eax >>> 20 & 255), 0x19)
})

test('OSXSAVE follows CR4', () => {
  assert.equal(leaf(1).ecx >>> 27 & 1, 0)
  assert.equal(leaf(1, 0, { cr4: 1n << 18n }).ecx >>> 27 & 1, 1)
})

test('the features of x86-64-v3 are claimed', () => {
  const wanted = (bits: readonly number[]) => bits.reduce((sum, bit) => sum | 1 << bit, 0)
  // FMA, MOVBE, XSAVE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT.
  const [first, seventh, extended] = [wanted([12, 22, 26, 28, 29]), wanted([3, 5, 8]), 1 << 5]
  assert.equal(leaf(1).ecx & first, first)
  assert.equal(leaf(7).ebx & seventh, seventh)
  assert.equal(leaf(0x8000_0001).ecx & extended, extended)
})

test('APIC numbers and counts', () => {
  assert.equal(leaf(1).ebx >>> 24, 2)
  assert.equal(leaf(1).ebx >>> 16 & 255, 4)
  assert.equal(leaf(1).edx >>> 28 & 1, 1)
  assert.equal(leaf(1, 0, { vcpuCount: 1 }).edx >>> 28 & 1, 0)
  assert.deepEqual(leaf(0xb, 1), { eax: 2, ebx: 4, ecx: 0x201, edx: 2 })
})

test('the extended state is x87 and SSE in 576 bytes, and AVX in 256 behind', () => {
  assert.deepEqual(leaf(0xd, 0), { eax: 7, ebx: 576, ecx: 832, edx: 0 })
  assert.equal(leaf(0xd, 0, { xcr0: 7n }).ebx, 832)
  assert.equal(leaf(0xd, 1, { xcr0: 7n }).ebx, 832)
  assert.deepEqual(leaf(0xd, 2), { eax: 256, ebx: 576, ecx: 0, edx: 0 })
  assert.deepEqual(leaf(0xd, 3), { eax: 0, ebx: 0, ecx: 0, edx: 0 })
})

test('the TSC is invariant and has TSC_ADJUST, so that Linux does not watch it', () => {
  assert.equal(leaf(0x8000_0007).edx >>> 8 & 1, 1)
  assert.equal(leaf(7).ebx >>> 1 & 1, 1)
})

test('the extended features repeat the basic ones that AMD repeats', () => {
  const { edx } = leaf(0x8000_0001)
  for (const bit of [0, 4, 5, 6, 8, 23, 24]) assert.equal(edx >>> bit & 1, 1, `bit ${bit}`)
  assert.equal(edx >>> 29 & 1, 1)
  assert.equal(edx >>> 11 & 1, 1)
})

test('leaves beyond the last are zero', () => {
  assert.deepEqual(leaf(0x20), { eax: 0, ebx: 0, ecx: 0, edx: 0 })
  assert.deepEqual(leaf(0x8000_0022), { eax: 0, ebx: 0, ecx: 0, edx: 0 })
})

test('transient scheduler attacks do not concern it, by all three bits that Linux asks for', () => {
  assert.equal(leaf(0x8000_0021).ecx, 0b1000_0110)
})
