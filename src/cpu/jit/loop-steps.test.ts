/**
 * Steps of registers in loops that are put together by hand.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RAX, RBX, RCX, RDI, RDX, RSI, RSP } from '../../abi/x86/registers.ts'
import { makeDecoder } from '../../isa/decode/decoder.ts'
import { allInstructions } from '../../isa/instructions/all.ts'
import { CODE_MODE_LONG } from '../core-memory.ts'
import { codeModeOf } from '../interpreter/code-mode.ts'
import { structureOf } from './graph.ts'
import { loopSteps } from './loop-steps.ts'
import type { Block } from './region.ts'

const decode = makeDecoder(allInstructions)

/** A loop of one block with these instructions. */
function stepsOf(...code: readonly (readonly number[])[]): readonly number[] {
  const instructions = code.map((bytes, offset) => {
    const instruction = decode(Uint8Array.from(bytes), codeModeOf(CODE_MODE_LONG))
    assert.ok(typeof instruction !== 'string')
    return { instruction, offset }
  })
  const to = { offset: 0, block: 0 }
  const block: Block = { offset: 0, instructions, end: { kind: 'goes', to } }
  const region = { blocks: [block], entries: [0], pages: [0], codeMode: CODE_MODE_LONG }
  return loopSteps(region, structureOf([[1], [1]])).get(1)!
}

test('constants that are added in a loop are steps, together', () => {
  const steps = stepsOf(
    [0x48, 0x83, 0xc0, 0x08], // add rax, 8
    [0x48, 0x8d, 0x40, 0x10], // lea rax, [rax + 16]
    [0x48, 0x83, 0xeb, 0x04], // sub rbx, 4
    [0x48, 0xff, 0xc9], // dec rcx
  )
  assert.deepEqual([RAX, RBX, RCX, RDX].map((register) => steps[register]), [24, 4, 1, 0])
})

test('pushes and pops leave the stack where it is, and what is loaded may lie anywhere', () => {
  const steps = stepsOf(
    [0x50], // push rax
    [0x58], // pop rax
    [0x48, 0x8b, 0x09], // mov rcx, [rcx]
    [0x48, 0x01, 0xc2], // add rdx, rax
  )
  assert.deepEqual([RSP, RAX, RCX, RDX].map((register) => steps[register]),
    [0, Infinity, Infinity, Infinity])
})

test('a string instruction moves its pointers by an element', () => {
  const steps = stepsOf([0x48, 0xa5]) // movsq
  assert.deepEqual([RSI, RDI].map((register) => steps[register]), [8, 8])
})
