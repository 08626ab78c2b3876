/**
 * Exception delivery in every mode, on flat memory: frames, privilege changes, error codes.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flagsOf } from '../state.ts'
import {
  KERNEL_CS, KERNEL_SS, longMode, protectedMode, realMode, TSS, TSS_SELECTOR, USER_CS, USER_SS,
} from '../system/test-processor.ts'

test('long mode, same level: the frame is aligned and SS stays', () => {
  const p = longMode()
  p.gate(14, 14, KERNEL_CS, 0x5000, { long: true })
  p.context.gpr.set(4, 0x9009n)
  assert.equal(p.deliver({
    vector: 14, hasErrorCode: true, errorCode: 2, address: 0x1234n,
  }), 'delivered')
  assert.equal(p.stack(8, 6), '2 4000 8 10202 9009 10')
  assert.equal(p.context.gpr.get(4), 0x8fd0n)
  assert.equal(p.context.rip, 0x5000n)
  assert.equal(p.context.cr2, 0x1234n)
  assert.equal(p.context.segments.item(2).selector, KERNEL_SS)
  assert.equal(flagsOf(p.context), 2)
})

test('long mode, from user code: RSP0, a null SS, interrupts off', () => {
  const p = longMode(3)
  p.gate(0x20, 14, KERNEL_CS, 0x5000, { long: true })
  assert.equal(p.deliver({ vector: 0x20, kind: 'external' }), 'delivered')
  assert.equal(p.stack(8, 5), '4000 1b 202 9000 23')
  assert.equal(p.context.gpr.get(4), 0xa000n - 40n)
  assert.equal(p.context.cpl, 0)
  assert.equal(p.context.segments.item(2).selector, 0)
})

test('long mode: a trap gate leaves interrupts on, and IST names its stack', () => {
  const p = longMode()
  p.gate(3, 15, KERNEL_CS, 0x5000, { long: true, ist: 1 })
  assert.equal(p.deliver({ vector: 3, kind: 'trap' }), 'delivered')
  assert.equal(p.context.gpr.get(4), 0xb000n - 40n)
  assert.equal(flagsOf(p.context), 0x202)
})

test('a software interrupt obeys the gate\'s DPL; others do not', () => {
  const p = longMode(3)
  p.gate(0x80, 14, KERNEL_CS, 0x5000, { long: true })
  assert.equal(p.run('cd80'), '13(402)')
  assert.equal(p.context.rip, 0x4000n)
  p.gate(0x80, 14, KERNEL_CS, 0x5000, { long: true, dpl: 3 })
  assert.equal(p.run('cd80'), 'done')
  assert.equal(p.stack(8, 2), '4002 1b')
})

test('a missing gate becomes #GP with its entry and EXT, and a fault on top a double fault', () => {
  const p = longMode()
  p.gate(13, 14, KERNEL_CS, 0x5000, { long: true })
  assert.equal(p.deliver({ vector: 0x30, kind: 'external' }), 'delivered')
  assert.equal(p.stack(8, 2), '183 4000')

  const q = longMode()
  q.gate(8, 14, KERNEL_CS, 0x6000, { long: true })
  assert.equal(q.deliver({ vector: 13, hasErrorCode: true, errorCode: 0 }), 'delivered')
  assert.equal(q.context.rip, 0x6000n)
  assert.equal(q.stack(8, 1), '0')
})

test('an absent gate is #NP; three failures are a shutdown that changes nothing', () => {
  const p = longMode()
  p.gate(0x21, 14, KERNEL_CS, 0x5000, { long: true, absent: true })
  p.gate(11, 14, KERNEL_CS, 0x7000, { long: true })
  assert.equal(p.deliver({ vector: 0x21, kind: 'external' }), 'delivered')
  assert.equal(p.stack(8, 1), (0x21 * 8 + 3).toString(16))

  const q = longMode()
  assert.equal(q.deliver({ vector: 6 }), 'shutdown')
  assert.equal(q.context.rip, 0x4000n)
  assert.equal(q.context.gpr.get(4), 0x9000n)
})

test('a page fault while a page fault is delivered is a double fault, on its IST stack', () => {
  const p = longMode(3)
  p.gate(14, 14, KERNEL_CS, 0x5000, { long: true })
  p.gate(8, 14, KERNEL_CS, 0x6000, { long: true, ist: 1 })
  p.memory.absent.add(9)
  assert.equal(p.deliver({
    vector: 14, hasErrorCode: true, errorCode: 4, address: 0x77n,
  }), 'delivered')
  assert.equal(p.context.rip, 0x6000n)
  assert.equal(p.context.cr2, 0xa000n - 8n)
  assert.equal(p.stack(8, 3), '0 4000 1b')
})

test('a page fault while #GP is delivered is a page fault', () => {
  const p = longMode(3)
  p.gate(13, 14, KERNEL_CS, 0x5000, { long: true })
  p.gate(14, 14, KERNEL_CS, 0x6000, { long: true, ist: 1 })
  p.memory.absent.add(9)
  assert.equal(p.deliver({ vector: 13, hasErrorCode: true, errorCode: 0 }), 'delivered')
  assert.equal(p.context.rip, 0x6000n)
})

test('an NMI blocks further ones until IRET', () => {
  const p = longMode()
  p.gate(2, 14, KERNEL_CS, 0x5000, { long: true })
  assert.equal(p.deliver({ vector: 2, kind: 'nmi' }), 'delivered')
  assert.equal(p.context.nmiBlocked, 1)
  assert.equal(p.run('48cf'), 'done')
  assert.equal(p.context.nmiBlocked, 0)
  assert.equal(p.context.rip, 0x4000n)
  assert.equal(p.context.gpr.get(4), 0x9000n)
})

test('protected mode, from user code: the stack of the TSS, 32-bit frame with error code', () => {
  const p = protectedMode(3)
  p.gate(13, 14, KERNEL_CS, 0x5000)
  assert.equal(p.deliver({ vector: 13, hasErrorCode: true, errorCode: 0x18 }), 'delivered')
  assert.equal(p.stack(4, 6), '18 4000 1b 10202 9000 23')
  assert.equal(p.context.segments.item(2).selector, KERNEL_SS)
  assert.equal(p.context.cpl, 0)
})

test('protected mode: a 16-bit gate pushes words', () => {
  const p = protectedMode()
  p.gate(5, 7, KERNEL_CS, 0x5000)
  assert.equal(p.deliver({ vector: 5, kind: 'external' }), 'delivered')
  assert.equal(p.stack(2, 3), '4000 8 202')
})

test('protected mode: a bad stack in the TSS is #TS with its selector and EXT', () => {
  const p = protectedMode(3)
  p.gate(0x20, 14, KERNEL_CS, 0x5000)
  p.put(TSS + 8, 4, USER_SS)
  p.gate(10, 14, KERNEL_CS, 0x6000)
  // #TS cannot be delivered through the same bad stack, and the double fault cannot either.
  assert.equal(p.deliver({ vector: 0x20, kind: 'external' }), 'shutdown')
  assert.equal(p.run('cc'), '13(1a)')
})

test('virtual-8086 mode: segments are saved above the frame and become null', () => {
  const p = protectedMode(3)
  const c = p.context
  c.systemFlags |= 1n << 17n
  for (let i = 0; i < 6; i++) c.segments.item(i).selector = 0x100 + i
  p.gate(13, 14, KERNEL_CS, 0x5000)
  assert.equal(p.deliver({ vector: 13, hasErrorCode: true, errorCode: 0 }), 'delivered')
  assert.equal(p.stack(4, 10), '0 4000 101 30202 9000 102 100 103 104 105')
  assert.equal(c.segments.item(3).selector, 0)
  assert.equal(c.cpl, 0)
  c.gpr.set(4, c.gpr.get(4) + 4n)
  assert.equal(p.run('cf'), 'done')
  assert.equal(c.segments.item(3).selector, 0x103)
  assert.equal(c.cpl, 3)
  assert.equal(flagsOf(c) >> 17 & 1, 1)
})

test('real mode: the vector table, three words, no error code', () => {
  const p = realMode()
  p.put(0x21 * 4, 4, 0x1234_5678)
  assert.equal(p.run('cd21'), 'done')
  assert.equal(p.stack(2, 3), '4002 0 202')
  assert.equal(p.context.segments.item(1).base, 0x12340n)
  assert.equal(p.context.rip, 0x5678n)
  assert.equal(flagsOf(p.context) & 0x200, 0)
  p.context.idtr.limit = 0
  assert.equal(p.deliver({ vector: 6 }), 'shutdown')
})

test('a task gate switches tasks, links back, and IRET returns', () => {
  const p = protectedMode()
  const other = 0x6000
  p.describe(0x38, 0x89, other, 0x67)
  p.put(other + 32, 4, 0x7000)
  p.put(other + 36, 4, 2)
  p.put(other + 56, 4, 0x8800)
  for (const [offset, selector] of [[72, KERNEL_SS], [76, KERNEL_CS], [80, KERNEL_SS],
    [84, KERNEL_SS]] as const) p.put(other + offset, 2, selector)
  p.gate(8, 5, 0x38, 0)
  assert.equal(p.deliver({ vector: 8, hasErrorCode: true, errorCode: 0 }), 'delivered')
  const c = p.context
  assert.equal(c.tr.selector, 0x38)
  assert.equal(c.rip, 0x7000n)
  assert.equal(c.gpr.get(4), 0x87fcn)
  assert.equal(p.get(other, 2), BigInt(TSS_SELECTOR))
  assert.equal(flagsOf(c), 0x4002)
  assert.equal(c.cr0 & 8n, 8n)
  assert.equal(p.get(0x2000 + 0x38 + 5, 1), 0x8bn)
  assert.equal(p.run('cf'), 'done')
  assert.equal(c.tr.selector, TSS_SELECTOR)
  assert.equal(c.rip, 0x4000n)
  assert.equal(c.gpr.get(4), 0x9000n)
  assert.equal(p.get(0x2000 + 0x38 + 5, 1), 0x89n)
})

test('a debug exception sets DR6 and switches general detection off', () => {
  const p = longMode(3)
  p.gate(1, 14, KERNEL_CS, 0x5000, { long: true })
  p.context.dr.set(7, 0x2400n)
  assert.equal(p.deliver({ vector: 1, kind: 'trap', dr6: 1 << 14 }), 'delivered')
  assert.equal(p.context.dr.get(6), 0x4000n)
  assert.equal(p.context.dr.get(7), 0x400n)
  assert.equal(p.stack(8, 2), `4000 ${USER_CS.toString(16)}`)
})

test('a debug exception brings what waits behind MOV SS, and nothing comes after it', () => {
  const p = longMode(3)
  p.gate(1, 14, KERNEL_CS, 0x5000, { long: true, ist: 1 })
  p.context.pendingDebug = 1
  assert.equal(p.run('f1'), 'done')
  assert.equal(p.context.rip, 0x5000n)
  assert.equal(p.context.dr.get(6), 1n)
  assert.equal(p.context.pendingDebug, 0)
})

test('what waits behind MOV SS outlives an exception of another kind', () => {
  const p = longMode(3)
  p.gate(1, 14, KERNEL_CS, 0x5000, { long: true, dpl: 3 })
  p.context.pendingDebug = 1
  assert.equal(p.run('cd01'), 'done')
  assert.equal(p.context.dr.get(6), 0n)
  assert.equal(p.context.pendingDebug, 1)
})
