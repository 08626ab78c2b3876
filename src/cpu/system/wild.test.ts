/**
 * A guest cannot make a system service throw: random state, random memory, every instruction.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flagsOf } from '../state.ts'
import { longMode, protectedMode, realMode, type TestProcessor } from './test-processor.ts'

const CODES = [
  'fa', 'fb', '9c', '9d', 'cd80', 'cc', 'f1', 'cf', '48cf', '66cf', 'f4', 'f390', '0fa2', '0f31',
  '0f32', '0f30', '0f05', '0f07', '480f07', '0f34', '0f35', '0f01f8', '0f01ca', '0f01cb',
  '0f01d0', '0f01d1', '8ed0', '8ed8', '8ee8', '0fa9', '0fa1', '0fb237', 'ff2f', 'ff1f', '48ff1f',
  '48ff2f', 'cb', 'ca0800', '48cb', '0f0137', '0f0117', '0f011f', '0f0107', '0f00d0', '0f00d8',
  '0f00e0', '0f00e8', '0f02c1', '0f03c1', '0f22c0', '0f22d8', '0f22e0', '0f20c0', '0f23f8',
  '0f01f0', '0f06', '0f013f', '660f38820f', 'ec', 'ed', 'e680', '6c', 'f36d', 'f36f', '0fae27',
  '0fae2f', '480fae37', '0fc727', '0fc72f', '0fc71f',
]

/** A small generator, so that a failure can be repeated from its seed. */
function generator(seed: number): () => number {
  let state = seed >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

function scramble(p: TestProcessor, random: () => number): void {
  const c = p.context
  const wild = () => BigInt(random() % 4 ? random() % 0x10000 : random()) << BigInt(random() % 33)
  for (let i = 0; i < 16; i++) c.gpr.set(i, random() % 2 ? wild() : BigInt(random() % 0xffff))
  for (let at = 0x1000; at < 0x4000; at += 4) {
    if (random() % 3 === 0) p.put(at, 4, random())
  }
  for (let i = 0; i < 64; i++) p.put(random() % 0xf0000, 4, random())
  c.cr4 |= BigInt(random() & 0x70620)
  c.xcr0 = [1n, 3n, 7n][random() % 3]!
  c.star = wild()
  c.sysenterCs = BigInt(random() % 64)
  if (random() % 4 === 0) c.systemFlags |= BigInt(random() & 0x3_7000)
  if (random() % 2) p.memory.absent.add(random() % 16)
}

test('no service and no delivery throws anything but guest faults', () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  const random = generator(seed)
  const makers = [() => longMode(0), () => longMode(3), () => protectedMode(0),
    () => protectedMode(3), realMode]
  for (let round = 0; round < 1500; round++) {
    const p = makers[random() % makers.length]!()
    scramble(p, random)
    for (let i = 0; i < 6; i++) {
      const code = CODES[random() % CODES.length]!
      const before = p.context.rip
      try {
        const result = p.run(code)
        if (result !== 'done') assert.equal(p.context.rip, before)
        p.deliver({ vector: random() % 256, kind: random() % 2 ? 'external' : 'fault' })
      } catch (error) {
        if (error instanceof Error && /is an instruction$/.test(error.message)) continue
        throw new Error(`seed ${seed}, round ${round}, ${code}`, { cause: error })
      }
      assert.equal(flagsOf(p.context) & 2, 2)
      assert.ok(p.context.cpl <= 3)
    }
  }
})
