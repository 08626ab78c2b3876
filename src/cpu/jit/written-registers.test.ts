/**
 * Random graphs of blocks that write registers, walked at random: whatever was written on the way
 * to the end of a block is known to be.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { WrittenRegisters } from './written-registers.ts'

const STEPS = 40

const block = fc.record({ writes: fc.bigInt(0n, 15n), to: fc.array(fc.nat(), { maxLength: 3 }) })
const program = fc.record({
  blocks: fc.array(block, { minLength: 1, maxLength: 7 }), choices: fc.infiniteStream(fc.nat()),
})

test('what was written on the way to the end of a block is known', () => {
  fc.assert(fc.property(program, ({ blocks, choices }) => {
    const successors = [[1], ...blocks.map(({ to }) => to.map((n) => n % blocks.length + 1))]
    const registers = new WrittenRegisters(successors)
    blocks.forEach(({ writes }, number) => registers.note(number + 1, writes))
    registers.solve()
    let node = 1
    let written = 0n
    for (let walked = 0; walked < STEPS; walked++) {
      written |= blocks[node - 1]!.writes
      assert.equal(written & ~registers.behind(node), 0n)
      const to = successors[node]!
      if (to.length === 0) return
      node = to[choices.next().value! % to.length]!
    }
  }))
})

test('what only another way has written is not stored', () => {
  const registers = new WrittenRegisters([[1], [2, 3], [], []])
  registers.note(1, 1n)
  registers.note(2, 2n)
  registers.note(3, 4n)
  registers.solve()
  assert.deepEqual([1, 2, 3].map((node) => registers.behind(node)), [1n, 3n, 5n])
})
