/**
 * System services, one instruction at a time, on flat memory.
 */
import { RAX, RCX, RDX } from '../../abi/x86/registers.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { controlInstructions } from '../../isa/instructions/system-control.ts'
import { segmentInstructions } from '../../isa/instructions/system-segments.ts'
import { systemInstructions } from '../../isa/instructions/system.ts'
import { flagsOf } from '../state.ts'
import { allServices } from './services.ts'
import {
  KERNEL_CS, KERNEL_SS, longMode, protectedMode, type TestProcessor, USER_CS, USER_CS32, USER_SS,
} from './test-processor.ts'

function set(p: TestProcessor, index: number, value: bigint | number): void {
  p.context.gpr.set(index, BigInt(value))
}

function push(p: TestProcessor, size: number, ...values: (bigint | number)[]): void {
  values.forEach((value, i) => p.put(0x9000 + i * size, size, BigInt(value)))
}

test('every service that definitions name exists', () => {
  for (const d of [...systemInstructions, ...segmentInstructions, ...controlInstructions]) {
    if (d.service) assert.ok(allServices[d.service], d.service)
  }
})

test('IRETQ to user code loads SS and RSP, and all flags but IOPL are as asked', () => {
  const p = longMode()
  push(p, 8, 0x5000, USER_CS, 0x246, 0x8000, USER_SS)
  assert.equal(p.run('48cf'), 'done')
  assert.equal(p.context.rip, 0x5000n)
  assert.equal(p.context.cpl, 3)
  assert.equal(p.context.gpr.get(4), 0x8000n)
  assert.equal(flagsOf(p.context), 0x246)
})

test('IRETQ within the kernel may have a null SS', () => {
  const p = longMode()
  push(p, 8, 0x5000, KERNEL_CS, 2, 0x8000, 0)
  assert.equal(p.run('48cf'), 'done')
  assert.equal(p.context.segments.item(2).selector, 0)
})

test('IRETQ refuses: null CS, non-canonical RIP, a bad SS; the stack pointer stays', () => {
  const p = longMode()
  push(p, 8, 0x5000, 0, 2, 0x8000, 0)
  assert.equal(p.run('48cf'), '13(0)')
  push(p, 8, 1n << 60n, USER_CS, 2, 0x8000, USER_SS)
  assert.equal(p.run('48cf'), '13(0)')
  push(p, 8, 0x5000, USER_CS, 2, 0x8000, KERNEL_SS)
  assert.equal(p.run('48cf'), '13(10)')
  push(p, 8, 0x5000, USER_CS, 2, 0x8000, 0)
  assert.equal(p.run('48cf'), '13(0)')
  push(p, 8, 0x5000, USER_SS, 2, 0x8000, USER_SS)
  assert.equal(p.run('48cf'), '13(20)')
  assert.equal(p.context.gpr.get(4), 0x9000n)
  assert.equal(p.context.rip, 0x4000n)
})

test('IRETQ to compatibility code checks the limit and makes data segments null', () => {
  const p = longMode()
  push(p, 8, 0x5000, USER_CS32, 0x202, 0x8000, USER_SS)
  p.use(0, KERNEL_SS)
  assert.equal(p.run('48cf'), 'done')
  assert.equal(p.control.codeMode, 2)
  assert.equal(p.context.segments.item(0).selector, 0)
})

test('IRETQ to user code makes null selectors 0, and their bases stay', () => {
  const p = longMode()
  push(p, 8, 0x5000, USER_CS, 0x202, 0x8000, USER_SS)
  for (const [index, selector] of [[0, 1], [3, 2], [4, 3], [5, 3]] as const) {
    p.context.segments.item(index).attributes = 0
    p.context.segments.item(index).selector = selector
    p.context.segments.item(index).base = 0x1234n
  }
  assert.equal(p.run('48cf'), 'done')
  for (const index of [0, 3, 4, 5]) {
    assert.equal(p.context.segments.item(index).selector, 0)
    assert.equal(p.context.segments.item(index).base, 0x1234n)
  }
})

test('IRETQ within the kernel leaves null selectors as they are', () => {
  const p = longMode()
  push(p, 8, 0x5000, KERNEL_CS, 2, 0x8000, KERNEL_SS)
  p.context.segments.item(0).attributes = 0
  p.context.segments.item(0).selector = 3
  assert.equal(p.run('48cf'), 'done')
  assert.equal(p.context.segments.item(0).selector, 3)
})

test('user code cannot enable interrupts with IRET or POPF, nor change IOPL', () => {
  const p = longMode(3)
  p.context.systemFlags = 2n
  push(p, 8, 0x5000, USER_CS, 0x3202, 0x8000, USER_SS)
  assert.equal(p.run('48cf'), 'done')
  assert.equal(flagsOf(p.context), 2)
  p.put(0x8000, 8, 0x3ed7)
  assert.equal(p.run('9d'), 'done')
  assert.equal(flagsOf(p.context), 0xcd7)
  assert.equal(p.run('fb'), '13(0)')
})

test('NT in long mode is #GP(0)', () => {
  const p = longMode()
  p.context.systemFlags |= 0x4000n
  assert.equal(p.run('48cf'), '13(0)')
})

test('SYSCALL and SYSRET go there and back', () => {
  const p = longMode(3)
  const c = p.context
  c.star = 0x0023_0010_0000_0000n
  c.lstar = 0xffff_8000_0000_1000n
  c.sfmask = 0x4_7700n
  assert.equal(p.run('0f05'), 'done')
  assert.equal(c.rip, 0xffff_8000_0000_1000n)
  assert.equal(c.gpr.get(RCX), 0x4002n)
  assert.equal(c.gpr.get(11), 0x202n)
  assert.equal(flagsOf(c), 2)
  assert.equal(c.cpl, 0)
  assert.equal(c.segments.item(1).selector, 0x10)
  assert.equal(c.segments.item(2).selector, 0x18)
  assert.equal(p.run('480f07'), 'done')
  assert.equal(c.rip, 0x4002n)
  assert.equal(c.cpl, 3)
  assert.equal(c.segments.item(1).selector, 0x33)
  assert.equal(c.segments.item(2).selector, 0x2b)
  assert.equal(flagsOf(c), 0x202)
  assert.equal(p.enabled, 1)
  assert.equal(p.run('480f07'), '13(0)', 'SYSRET in user code')
  c.efer &= ~1n
  assert.equal(p.run('0f05'), '6')
})

test('SYSRET without REX.W returns to compatibility code', () => {
  const p = longMode()
  p.context.star = 0x0023_0010_0000_0000n
  set(p, RCX, 0x1_2345_6789)
  set(p, 11, 0x202)
  assert.equal(p.run('0f07'), 'done')
  assert.equal(p.context.rip, 0x2345_6789n)
  assert.equal(p.context.segments.item(1).selector, 0x23)
  assert.equal(p.control.codeMode, 2)
})

test('SWAPGS, RDGSBASE and MSRs see the same bases', () => {
  const p = longMode()
  p.context.kernelGsBase = 0x1234n
  assert.equal(p.run('f30faec8'), '6', 'without CR4.FSGSBASE')
  assert.equal(p.run('0f01f8'), 'done')
  p.context.cr4 |= 1n << 16n
  assert.equal(p.run('f3480faec8'), 'done')
  assert.equal(p.context.gpr.get(RAX), 0x1234n)
  set(p, RCX, 0xc000_0101)
  set(p, RAX, 0x5678)
  set(p, RDX, 0xffff_8000)
  assert.equal(p.run('0f30'), 'done')
  assert.equal(p.context.segments.item(5).base, 0xffff_8000_0000_5678n)
  set(p, RDX, 0x1000_0000)
  assert.equal(p.run('0f30'), '13(0)', 'a base that is not canonical')
})

test('STI holds interrupts off for one instruction; CLI needs I/O privilege', () => {
  const p = longMode()
  assert.equal(p.run('fb'), 'done')
  assert.equal(p.context.interruptShadow, 0, 'interrupts were on')
  assert.equal(p.run('fa'), 'done')
  assert.equal(p.run('fb'), 'done')
  assert.equal(p.context.interruptShadow, 1)
  const q = longMode(3)
  assert.equal(q.run('fa'), '13(0)')
})

test('MOV SS loads checked segments and casts a shadow', () => {
  const p = longMode()
  set(p, RAX, KERNEL_SS)
  assert.equal(p.run('8ed0'), 'done')
  assert.equal(p.context.interruptShadow, 2)
  set(p, RAX, USER_SS)
  assert.equal(p.run('8ed0'), '13(20)')
  set(p, RAX, 0)
  assert.equal(p.run('8ed0'), 'done', 'a null SS in 64-bit kernel code')
  assert.equal(p.run('8ed8'), 'done')
  set(p, RAX, KERNEL_CS)
  assert.equal(p.run('8ed8'), 'done', 'readable code as data')
  set(p, RAX, 0xf8)
  p.context.gdtr.limit = 0xf0
  assert.equal(p.run('8ed8'), '13(f8)', 'beyond the table')
  p.describe(0x40, 0xc13)
  set(p, RAX, 0x40)
  assert.equal(p.run('8ed8'), '11(40)', 'not present')
  assert.equal(p.run('8ec8'), '6', 'CS')
})

test('loading a segment sets its accessed bit', () => {
  const p = protectedMode()
  p.describe(0x40, 0xc92)
  set(p, RAX, 0x40)
  assert.equal(p.run('8ed8'), 'done')
  assert.equal(p.get(0x2000 + 0x45, 1), 0x93n)
})

test('far jumps, calls and returns within a level', () => {
  const p = protectedMode()
  assert.equal(p.run('ea005000000800'), 'done')
  assert.equal(p.context.rip, 0x5000n)
  assert.equal(p.run('9a006000000800'), 'done')
  assert.equal(p.stack(4, 2), '5007 8')
  assert.equal(p.run('cb'), 'done')
  assert.equal(p.context.rip, 0x5007n)
  assert.equal(p.context.gpr.get(4), 0x9000n)
  assert.equal(p.run('ea005000001000'), '13(10)', 'a data segment')
  assert.equal(p.run('ea005000001b00'), '13(18)', 'an outer level')
})

test('a far return to user code drops kernel segments', () => {
  const p = protectedMode()
  push(p, 4, 0x5000, USER_CS, 0x8000, USER_SS)
  assert.equal(p.run('ca0400'), '13(0)', 'the release moves the frame')
  assert.equal(p.run('cb'), 'done')
  assert.equal(p.context.cpl, 3)
  assert.equal(p.context.segments.item(3).selector, 0)
})

test('a call gate copies parameters to the inner stack', () => {
  const p = protectedMode(3)
  p.put(0x2000 + 0x40, 8, 0x0000_ec02_0008_5000n)
  push(p, 4, 0x11, 0x22)
  assert.equal(p.run('9a000000004300'), 'done')
  assert.equal(p.context.rip, 0x5000n)
  assert.equal(p.context.cpl, 0)
  assert.equal(p.stack(4, 6), '4007 1b 11 22 9000 23')
  assert.equal(p.run('ca0800'), 'done')
  assert.equal(p.context.gpr.get(4), 0x9008n)
  assert.equal(p.context.cpl, 3)
})

test('LGDT and LTR in 64-bit code take wide bases; a busy TSS is refused', () => {
  const p = longMode()
  p.put(0x6000, 2, 0x7f)
  p.put(0x6002, 8, 0x2000)
  set(p, RAX, 0x6000)
  assert.equal(p.run('0f0110'), 'done')
  assert.equal(p.context.gdtr.limit, 0x7f)
  p.put(0x2000 + 0x40, 8, 0x0000_8900_3000_0067n)
  p.put(0x2000 + 0x48, 8, 0xffff_8000)
  set(p, RAX, 0x40)
  assert.equal(p.run('0f00d8'), 'done')
  assert.equal(p.context.tr.base, 0xffff_8000_0000_3000n)
  assert.equal(p.get(0x2045, 1), 0x8bn)
  assert.equal(p.run('0f00d8'), '13(40)')
  assert.equal(p.run('0f0118'), 'done', 'LIDT')
})

test('LAR, LSL, VERR and VERW answer in ZF', () => {
  const p = longMode(3)
  set(p, RAX, USER_CS)
  assert.equal(p.run('0f02c8'), 'done')
  assert.equal(p.context.gpr.get(RCX), 0xaffb00n)
  assert.equal(p.context.zf, 0n)
  assert.equal(p.run('0f03c8'), 'done')
  assert.equal(p.context.gpr.get(RCX), 0xffff_ffffn)
})
