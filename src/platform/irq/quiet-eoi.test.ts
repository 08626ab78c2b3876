/**
 * EOIs that may be heard of later: that nothing of it is seen.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock } from '../../base/clock.ts'
import { ApicBus } from './ipi.ts'
import { Lapic } from './lapic.ts'
import { LAPIC_BASE, LapicRest, LapicState, REG } from './lapic-state.ts'
import { endsQuietly } from './quiet-eoi.ts'

const X2APIC = LAPIC_BASE + 0xd00
const SVR_MSR = 0x80f

interface Machine {
  lapic: Lapic
  registers: Uint8Array
  /** Level-triggered vectors that have ended. */
  ended: number[]
}

function machine(x2apic = true): Machine {
  const ended: number[] = []
  const bus = new ApicBus({ nmi() {}, init() {}, startup() {}, raised() {} })
  const buffer = new SharedArrayBuffer(LapicState.size)
  const state = LapicState.on(buffer)
  const rest = LapicRest.on(new ArrayBuffer(LapicRest.size))
  const lapic = new Lapic(state, rest, 0, new ManualClock(), {
    send: (...command) => bus.send(...command), raised() {},
    ended: (_, vector) => void ended.push(vector),
  })
  lapic.reset()
  if (x2apic) {
    lapic.writeBase(X2APIC, 0)
    lapic.writeMsr(SVR_MSR, 0x1ff, 0)
  } else {
    lapic.mmioWrite(REG.SVR, 4, 0x1ff)
  }
  return { lapic, registers: new Uint8Array(buffer), ended }
}

test('an EOI is quiet while one interrupt is in service and none waits', () => {
  const { lapic } = machine()
  assert.equal(endsQuietly(lapic, 0), false)
  lapic.raise(0xf3)
  assert.equal(endsQuietly(lapic, 0), false)
  assert.equal(endsQuietly(lapic, 0xf3), true)
  lapic.accept(0xf3)
  assert.equal(endsQuietly(lapic, 0), true)
  lapic.raise(0x41)
  assert.equal(endsQuietly(lapic, 0), false)
})

test('not that of a level-triggered or nested one, nor one in the APIC page', () => {
  const level = machine().lapic
  level.raise(0x51, true)
  assert.equal(endsQuietly(level, 0x51), false)
  level.accept(0x51)
  assert.equal(endsQuietly(level, 0), false)
  const nested = machine().lapic
  nested.raise(0x31)
  nested.accept(0x31)
  nested.raise(0x51)
  assert.equal(endsQuietly(nested, 0x51), false)
  const old = machine(false).lapic
  old.raise(0x31)
  old.accept(0x31)
  assert.equal(endsQuietly(old, 0), false)
})

/** A LAPIC that hears at exits what its processor took and ended by itself. */
class Late {
  readonly machine = machine()
  #offered = 0
  #mayEnd = false
  #taken = 0
  #isNoted = false

  /** Leaves the guest, has `work` done, and enters again. */
  exit(work: (lapic: Lapic) => void): void {
    const { lapic } = this.machine
    if (this.#taken !== 0) lapic.accept(this.#taken)
    if (this.#isNoted) lapic.end()
    work(lapic)
    this.#taken = 0
    this.#isNoted = false
    this.#offered = Math.max(lapic.pendingVector(), 0)
    this.#mayEnd = endsQuietly(lapic, this.#offered)
  }

  /** The vector that is taken now, or 0. */
  take(): number {
    if (this.#offered === 0) this.exit(() => {})
    this.#taken = this.#offered
    this.#offered = 0
    return this.#taken
  }

  eoi(): void {
    if (!this.#mayEnd || this.#offered !== 0) return this.exit((lapic) => lapic.end())
    this.#isNoted = true
    this.#mayEnd = false
  }
}

test('a guest sees no difference whether the LAPIC hears at once or at the next exit', () => {
  const vector = fc.constantFrom(0x21, 0x22, 0x31, 0x7f, 0x80, 0xff)
  const step = fc.tuple(fc.constantFrom('raise', 'level', 'take', 'eoi'), vector)
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const prompt = machine()
    const late = new Late()
    for (const [what, number] of steps) {
      if (what === 'eoi') {
        prompt.lapic.end()
        late.eoi()
      } else if (what === 'take') {
        const next = Math.max(prompt.lapic.pendingVector(), 0)
        if (next !== 0) prompt.lapic.accept(next)
        assert.equal(late.take(), next)
      } else {
        prompt.lapic.raise(number, what === 'level')
        late.exit((lapic) => lapic.raise(number, what === 'level'))
      }
    }
    late.exit(() => {})
    assert.deepEqual(late.machine.registers, prompt.registers)
    assert.deepEqual(late.machine.ended, prompt.ended)
  }), { numRuns: 500 })
})
