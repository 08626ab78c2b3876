/**
 * Records made from templates, against those of the decoder: for random heads, each with random
 * numbers behind it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../base/seeded-random.ts'
import { makeDecoder, MAX_LENGTH } from '../../isa/decode/decoder.ts'
import { allInstructions } from '../../isa/instructions/all.ts'
import type { Instruction } from '../../isa/operand.ts'
import { CODE_MODE_LONG } from '../core-memory.ts'
import { codeModeOf, modeShapeOf } from './code-mode.ts'
import { fillRecord } from './fill-record.ts'
import { field, RECORD_BYTES } from './record.ts'
import { RecordTemplates } from './record-templates.ts'
import { rowKeyOf } from './shape.ts'

const decode = makeDecoder(allInstructions)
const PREFIXES = [0x66, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x2e, 0x67, 0x40, 0x41, 0x48, 0x4f, 0x0f]

class Bench {
  readonly core = new ArrayBuffer(4096)
  readonly u8 = new Uint8Array(this.core)
  readonly machine = new Uint8Array(4096)
  readonly templates = new RecordTemplates(this.core, this.machine)
  readonly #words = {
    u8: this.u8, u16: new Uint16Array(this.core), i32: new Int32Array(this.core),
    i64: new BigInt64Array(this.core),
  }

  decodeAt(offset: number): Instruction | undefined {
    const decoded = decode(this.machine, codeModeOf(CODE_MODE_LONG), offset)
    return typeof decoded === 'string' ? undefined : decoded
  }

  /** As the code cache does without a template. */
  fillSlowly(record: number, offset: number, instruction: Instruction): void {
    const next = offset + instruction.length
    this.u8.fill(0, record, record + RECORD_BYTES)
    const key = rowKeyOf(instruction, modeShapeOf(CODE_MODE_LONG))
    this.#words.u16[record + field.handler >>> 1] = key ^ key >>> 12
    this.#words.u16[record + field.pageOffset >>> 1] = offset
    this.u8[record + field.length] = instruction.length
    fillRecord(this.#words, record, instruction, next)
  }

  record(at: number): number[] {
    return [...this.u8.subarray(at, at + RECORD_BYTES)]
  }

  /** Learns from the bytes at an offset, then compares what both ways make of others behind the
   * first `kept`. Returns how often there was a template. */
  compare(offset: number, kept: number, random: (below: number) => number): number {
    const first = this.decodeAt(offset)
    if (!first) return 0
    this.fillSlowly(0, offset, first)
    this.templates.learn(offset, 0, first)
    let found = 0
    for (let round = 0; round < 8; round++) {
      const at = random(4096 - MAX_LENGTH)
      this.machine.copyWithin(at, offset, offset + kept)
      for (let i = kept; i < MAX_LENGTH; i++) this.machine[at + i] = random(256)
      const length = this.templates.fill(at, 256)
      if (length === 0) continue
      found += 1
      const bytes = Buffer.from(this.machine.subarray(at, at + MAX_LENGTH)).toString('hex')
      const instruction = this.decodeAt(at)
      assert.ok(instruction, bytes)
      this.fillSlowly(128, at, instruction)
      assert.equal(length, instruction.length, bytes)
      assert.deepEqual(this.record(256), this.record(128), bytes)
      assert.equal(this.templates.endsTrace,
        instruction.definition.fields.endsBlock === true, bytes)
    }
    return found
  }
}

function randomOf(seed: number): (below: number) => number {
  const random = new SeededRandom(`${seed}`)
  return (below) => random.below(below)
}

test('a record from a template is the decoder\'s, whatever comes behind the head', () => {
  const random = randomOf(Number(process.env['SEED'] ?? 5))
  const bench = new Bench()
  let found = 0
  for (let round = 0; round < 20_000; round++) {
    const offset = random(4096 - MAX_LENGTH)
    let at = offset
    while (random(2) === 0) bench.machine[at++] = PREFIXES[random(PREFIXES.length)]!
    for (; at < offset + MAX_LENGTH; at++) bench.machine[at] = random(256)
    found += bench.compare(offset, 1 + random(5), random)
  }
  assert.ok(found > 10_000, `${found} records`)
})

test('most of the usual instructions have templates', () => {
  const usual = [
    '4889e5', '488b4508', '488b8424', '48896c24', '83c001', '81c000000000', '69c000000000',
    'e800000000', '7500', '0f8500000000', 'c3', '50', '5d', 'b800000000', '48b80000000000000000',
    '0fb600', '8d0500000000', '65488b042500000000', '660f6f00', 'c5fe6f00', 'f20f58c1', 'd9c0',
    '48c7042400000000', 'f30f1efa', '6690', '0f1f4400', 'c1e002', 'd1e0', 'f0480fb111',
  ]
  const random = randomOf(1)
  for (const hex of usual) {
    const bench = new Bench()
    const bytes = Buffer.from(hex, 'hex')
    bench.machine.set(bytes, 100)
    const first = bench.decodeAt(100)
    assert.ok(first, hex)
    assert.ok(bench.compare(100, bytes.length, random) > 0, hex)
  }
})

test('prefixes up to the end of memory are no head', () => {
  const bench = new Bench()
  bench.machine.fill(0x66)
  assert.equal(bench.templates.fill(0, 0), 0)
})
