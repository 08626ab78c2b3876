/**
 * When an idle core gives memory back.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Rest } from './rest.ts'

const SECOND_NS = 1e9
const MIB = 1 << 20

/** A core that looks around each second. */
class IdleCore {
  held = 0
  /** What it had when it gave back. */
  readonly given: number[] = []
  /** How often it gave modules back. */
  modules = 0
  /** What guests that idle use at once. */
  needed = 0
  #now = 0
  #asleep = 0
  readonly #rest = new Rest({
    held: () => this.held,
    giveBack: (what) => {
      if (what === 'modules') this.modules += 1
      else this.given.push(this.held / MIB)
      if (what === 'code') this.held = 0
    },
  })

  run(seconds: number, awake: number): void {
    for (let i = 0; i < seconds; i++) {
      this.held = Math.max(this.held, this.needed)
      this.#now += SECOND_NS
      this.#asleep += SECOND_NS * (1 - awake)
      this.#rest.look(this.#now, this.#asleep)
    }
  }
}

test('a core gives back what starting it left, and what guests left that idle by now', () => {
  const core = new IdleCore()
  core.run(10, 0)
  assert.deepEqual(core.given, [0])
  core.held = 50 * MIB
  core.run(30, 0.5)
  assert.deepEqual(core.given, [0])
  core.run(10, 0.01)
  assert.deepEqual(core.given, [0, 50])
})

test('what guests need while they idle is not given back again and again', () => {
  const core = new IdleCore()
  core.run(10, 0)
  core.needed = 20 * MIB
  core.run(1000, 0.05)
  assert.equal(core.given.length, 2)
})

test('modules follow once, when the core goes on sleeping', () => {
  const core = new IdleCore()
  core.run(10, 0)
  assert.equal(core.modules, 0)
  core.run(10, 0.5)
  core.run(100, 0)
  assert.equal(core.modules, 1)
  core.held = 50 * MIB
  core.run(100, 0)
  assert.equal(core.modules, 2)
})

test('what was held after a busy time is not taken for needed', () => {
  const core = new IdleCore()
  core.run(6, 0)
  core.held = 30 * MIB
  core.run(6, 0.9)
  core.run(20, 0)
  assert.deepEqual(core.given, [0, 30])
})
