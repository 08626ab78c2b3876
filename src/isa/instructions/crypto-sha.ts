/**
 * The SHA extensions (Intel SDM 2B; FIPS 180-4 for the functions' meaning).
 *
 * Their memory operands need not be aligned on the processor that we report, unlike Intel's.
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { Combine } from './sse-shared.ts'

function sha(name: string, opcode: string, combine: Combine): Definition {
  return define(name, {
    encodings: [row(`np 0f 38 ${opcode} /r`, 'Vx', 'Wx').cpuid('sha_ni')],
    execute(m, target, source) {
      m.sseCheck()
      const b = m.readVector(source!)
      m.writeVector(target!, combine(m, m.readVector(target!), b, true))
    },
  })
}

/** The four doublewords of a vector, lowest first. */
function words<V>(m: Backend<V>, a: V): readonly [V, V, V, V] {
  return [m.lane(a, 32, 0), m.lane(a, 32, 1), m.lane(a, 32, 2), m.lane(a, 32, 3)]
}

/** A vector of four values of which the low 32 bits count, lowest first. */
function vectorOfWords<V>(m: Backend<V>, w0: V, w1: V, w2: V, w3: V): V {
  const pair = (low: V, high: V) => m.or(m.zx(low, 32), m.shl(high, m.const(32)))
  return m.withLane(m.vectorOf(pair(w0, w1)), 64, 1, pair(w2, w3))
}

/** Both operands of a rotation by 1 to 31 hold the value twice, so that a shift rotates. */
function twice<V>(m: Backend<V>, a: V): V {
  const low = m.zx(a, 32)
  return m.or(low, m.shl(low, m.const(32)))
}

function rotated<V>(m: Backend<V>, a: V, right: number): V {
  return m.zx(m.shr(twice(m, a), m.const(right)), 32)
}

function xorOf<V>(m: Backend<V>, ...values: V[]): V {
  return values.reduce((a, b) => m.xor(a, b))
}

function sumOf<V>(m: Backend<V>, ...values: V[]): V {
  return values.reduce((a, b) => m.add(a, b))
}

/** Three rotations, or two and a shift, of one word. */
function mixed<V>(m: Backend<V>, a: V, first: number, second: number, third: number): V {
  const both = twice(m, a)
  const by = (count: number) => m.shr(both, m.const(count))
  return m.zx(xorOf(m, by(first), by(second), by(third)), 32)
}

function mixedWithShift<V>(m: Backend<V>, a: V, first: number, second: number, shift: number): V {
  const both = twice(m, a)
  const turned = m.xor(m.shr(both, m.const(first)), m.shr(both, m.const(second)))
  return m.zx(m.xor(turned, m.shr(m.zx(a, 32), m.const(shift))), 32)
}

function choose<V>(m: Backend<V>, x: V, y: V, z: V): V {
  return m.xor(m.and(x, m.xor(y, z)), z)
}

function majority<V>(m: Backend<V>, x: V, y: V, z: V): V {
  return m.or(m.and(x, y), m.and(z, m.or(x, y)))
}

const sigma0: <V>(m: Backend<V>, a: V) => V = (m, a) => mixedWithShift(m, a, 7, 18, 3)
const sigma1: <V>(m: Backend<V>, a: V) => V = (m, a) => mixedWithShift(m, a, 17, 19, 10)

/** Two rounds of SHA-256: C D G H in the target, A B E F in the source, W + K in XMM0. */
const twoRounds256: Combine = (m, target, source) => {
  let [h, g, d, c] = words(m, target)
  let [f, e, b, a] = words(m, source)
  for (const word of words(m, m.xmm(0)).slice(0, 2)) {
    const add = sumOf(m, h, choose(m, e, f, g), mixed(m, e, 6, 11, 25), word)
    const more = m.add(majority(m, a, b, c), mixed(m, a, 2, 13, 22))
    h = g
    g = f
    f = e
    e = m.zx(m.add(d, add), 32)
    d = c
    c = b
    b = a
    a = m.zx(m.add(add, more), 32)
  }
  return vectorOfWords(m, f, e, b, a)
}

const schedule256First: Combine = (m, target, source) => {
  const [w0, w1, w2, w3] = words(m, target)
  const w4 = m.lane(source, 32, 0)
  return vectorOfWords(m,
    m.add(w0, sigma0(m, w1)), m.add(w1, sigma0(m, w2)),
    m.add(w2, sigma0(m, w3)), m.add(w3, sigma0(m, w4)))
}

const schedule256Second: Combine = (m, target, source) => {
  const [t0, t1, t2, t3] = words(m, target)
  const [, , w14, w15] = words(m, source)
  const w16 = m.zx(m.add(t0, sigma1(m, w14)), 32)
  const w17 = m.zx(m.add(t1, sigma1(m, w15)), 32)
  return vectorOfWords(m, w16, w17, m.add(t2, sigma1(m, w16)), m.add(t3, sigma1(m, w17)))
}

const nextE: Combine = (m, target, source) => {
  const turned = rotated(m, m.lane(target, 32, 3), 2)
  return m.withLane(source, 32, 3, m.zx(m.add(m.lane(source, 32, 3), turned), 32))
}

const schedule1First: Combine = (m, target, source) =>
  m.vector('v128.xor', target,
    m.shuffle(target, source, [24, 25, 26, 27, 28, 29, 30, 31, 0, 1, 2, 3, 4, 5, 6, 7]))

const schedule1Second: Combine = (m, target, source) => {
  const [t3, t2, t1, t0] = words(m, target)
  const [w15, w14, w13] = words(m, source)
  const w16 = rotated(m, m.xor(t0, w13), 31)
  return vectorOfWords(m,
    rotated(m, m.xor(t3, w16), 31), rotated(m, m.xor(t2, w15), 31),
    rotated(m, m.xor(t1, w14), 31), w16)
}

/** Four rounds of SHA-1; the immediate chooses the function and the constant. */
const sha1rnds4 = define('sha1rnds4', {
  encodings: [row('np 0f 3a cc /r', 'Vx', 'Wx', 'Ib').cpuid('sha_ni')],
  execute(m, target, source, immediate) {
    m.sseCheck()
    const phase = m.and(m.immediate(immediate!), m.const(3))
    const inPhase = (number: number) => m.equal(phase, m.const(number))
    const constant = m.select(m.bitOf(phase, 1),
      m.select(m.bitOf(phase, 0), m.const(0xca62c1d6), m.const(0x8f1bbcdc)),
      m.select(m.bitOf(phase, 0), m.const(0x6ed9eba1), m.const(0x5a827999)))
    const message = words(m, m.readVector(source!))
    let [d, c, b, a] = words(m, m.readVector(target!))
    let e = m.const(0)
    for (const word of [...message].reverse()) {
      const f = m.select(inPhase(0), choose(m, b, c, d),
        m.select(inPhase(2), majority(m, b, c, d), xorOf(m, b, c, d)))
      const next = m.zx(sumOf(m, f, rotated(m, a, 27), word, e, constant), 32)
      e = d
      d = c
      c = rotated(m, b, 2)
      b = a
      a = next
    }
    m.writeVector(target!, vectorOfWords(m, d, c, b, a))
  },
})

export const cryptoSha: readonly Definition[] = [
  sha('sha1nexte', 'c8', nextE), sha('sha1msg1', 'c9', schedule1First),
  sha('sha1msg2', 'ca', schedule1Second),
  sha('sha256rnds2', 'cb', twoRounds256),
  sha('sha256msg1', 'cc', schedule256First),
  sha('sha256msg2', 'cd', schedule256Second),
  sha1rnds4,
]
