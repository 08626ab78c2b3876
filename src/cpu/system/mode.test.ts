/**
 * The mode of decoded code, from CS, SS and EFER.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EFER } from '../../abi/x86/control.ts'
import { CS, SS } from '../../abi/x86/registers.ts'
import {
  CODE_MODE_16, CODE_MODE_32, CODE_MODE_LONG, CODE_MODE_STACK32,
} from '../core-memory.ts'
import { CpuContext, SEGMENT_DB, SEGMENT_L } from '../state.ts'
import { codeModeOf } from './mode.ts'

function modeWith(code: number, stack: number, efer = 0): number {
  const context = CpuContext.on(new ArrayBuffer(CpuContext.size))
  context.segments.item(CS).attributes = code
  context.segments.item(SS).attributes = stack
  context.efer = BigInt(efer)
  return codeModeOf(context)
}

test('the size of code comes from CS, that of the stack from SS', () => {
  assert.equal(modeWith(0, 0), CODE_MODE_16)
  assert.equal(modeWith(SEGMENT_DB, 0), CODE_MODE_32)
  assert.equal(modeWith(0, SEGMENT_DB), CODE_MODE_16 | CODE_MODE_STACK32)
  assert.equal(modeWith(SEGMENT_DB, SEGMENT_DB), CODE_MODE_32 | CODE_MODE_STACK32)
})

test('CS.L counts in long mode only, and SS does not matter there', () => {
  assert.equal(modeWith(SEGMENT_L, 0, EFER.LMA), CODE_MODE_LONG)
  assert.equal(modeWith(SEGMENT_L, SEGMENT_DB, EFER.LMA), CODE_MODE_LONG)
  assert.equal(modeWith(SEGMENT_L, 0), CODE_MODE_16)
})
