/**
 * Control registers, MSRs, ports, extended state and exits, on flat memory.
 */
import { RAX, RCX, RDI, RDX } from '../../abi/x86/registers.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { flagsOf } from '../state.ts'
import { longMode, protectedMode, realMode, type TestProcessor, TSS } from './test-processor.ts'

function set(p: TestProcessor, index: number, value: bigint | number): void {
  p.context.gpr.set(index, BigInt(value))
}

function writeControl(p: TestProcessor, number: number, value: bigint | number): string {
  set(p, RAX, value)
  return p.run(`0f22${(0xc0 | number << 3).toString(16)}`)
}

test('the way from real mode to 64-bit code', () => {
  const p = realMode()
  p.context.gdtr.base = 0x2000n
  p.context.gdtr.limit = 0xff
  p.describe(0x08, 0xa9b)
  assert.equal(writeControl(p, 4, 0x20), 'done')
  set(p, RCX, 0xc000_0080)
  set(p, RAX, 0x100)
  assert.equal(p.run('0f30'), 'done')
  assert.equal(writeControl(p, 0, 0x8000_0000), '13(0)', 'paging without protection')
  assert.equal(writeControl(p, 0, 0x8000_0011), 'done')
  assert.equal(p.context.efer, 0x500n)
  assert.equal(p.run('66ea005000000800'), 'done')
  assert.equal(p.control.codeMode, 1)
  assert.equal(writeControl(p, 0, 0x11), '13(0)', 'paging off in 64-bit code')
})

test('long mode needs PAE before paging', () => {
  const p = realMode()
  p.context.efer = 0x100n
  assert.equal(writeControl(p, 0, 0x8000_0011), '13(0)')
})

test('illegal control register values are #GP(0) and change nothing', () => {
  const p = longMode()
  const { cr0, cr4 } = p.context
  assert.equal(writeControl(p, 0, 0xa000_0011n), '13(0)', 'NW without CD')
  assert.equal(writeControl(p, 0, 0x1_8005_0033n), '13(0)', 'the upper half')
  assert.equal(writeControl(p, 4, 0x680), '13(0)', 'PAE cleared')
  assert.equal(writeControl(p, 4, 0x1_0000_06a0n), '13(0)')
  assert.equal(writeControl(p, 4, 0x26a0), '13(0)', 'VMXE is not ours')
  assert.equal(writeControl(p, 3, 1n << 40n), '13(0)', 'beyond physical memory')
  p.context.cr3 = 5n
  assert.equal(writeControl(p, 4, 0x206a0), '13(0)', 'PCIDE with a PCID in CR3')
  assert.equal(p.context.cr0, cr0)
  assert.equal(p.context.cr4, cr4)
  assert.deepEqual(p.memory.flushes, [])
})

test('CR3 keeps global pages; changes of CR4.PGE and CR0.WP flush all', () => {
  const p = longMode()
  assert.equal(writeControl(p, 3, 0x7000), 'done')
  assert.equal(writeControl(p, 4, 0x620), 'done')
  assert.equal(writeControl(p, 0, 0x8004_0033), 'done')
  assert.equal(writeControl(p, 0, 0x8004_003b), 'done', 'TS alone')
  assert.equal(p.run('0f0138'), 'done')
  assert.deepEqual(p.memory.flushes, ['switch 0', 'all', 'all', 'page 8004003b'])
})

test('with PCIDs, CR3 names an address space, and bit 63 keeps what is known of it', () => {
  const p = longMode()
  assert.equal(writeControl(p, 3, 0x7018), 'done', 'PCD and PWT are no PCID')
  assert.equal(writeControl(p, 3, 1n << 63n | 0x7000n), '13(0)')
  p.context.cr3 = 0x7000n
  assert.equal(writeControl(p, 4, 0x206a0), 'done')
  assert.equal(writeControl(p, 3, 1n << 63n | 0x7005n), 'done')
  assert.equal(p.context.cr3, 0x7005n)
  assert.equal(writeControl(p, 3, 0x8fff), 'done')
  assert.equal(writeControl(p, 0, 0x0005_0033), '13(0)', 'paging stays on with PCIDs')
  assert.equal(writeControl(p, 4, 0x6a0), 'done')
  assert.deepEqual(p.memory.flushes,
    ['switch 0', 'all', 'switch 0', 'keep 5', 'switch 4095', 'all', 'switch 0'])
})

test('user code may not touch control registers', () => {
  const p = longMode(3)
  assert.equal(p.run('0f20c0'), '13(0)')
  assert.equal(p.run('0f01e0'), 'done', 'SMSW without UMIP')
  p.context.cr4 |= 1n << 11n
  assert.equal(p.run('0f01e0'), '13(0)')
})

test('general detection traps debug register moves', () => {
  const p = longMode()
  p.context.dr.set(7, 0x2400n)
  assert.equal(p.run('0f21f8'), '1')
  assert.equal(p.context.dr.get(6) & 0x2000n, 0x2000n)
  p.context.dr.set(7, 0x400n)
  p.context.cr4 |= 8n
  assert.equal(p.run('0f21e0'), '6', 'DR4 with CR4.DE')
  set(p, RAX, 0)
  assert.equal(p.run('0f23f0'), 'done')
  assert.equal(p.context.dr.get(6), 0xffff_0ff0n)
})

test('EFER: unknown bits fault, LME is fixed while paging', () => {
  const p = longMode()
  set(p, RCX, 0xc000_0080)
  set(p, RAX, 0x1d01)
  assert.equal(p.run('0f30'), '13(0)', 'SVME')
  set(p, RAX, 0xc01)
  assert.equal(p.run('0f30'), '13(0)')
  set(p, RAX, 0x501)
  assert.equal(p.run('0f30'), 'done')
  assert.equal(p.context.efer, 0x501n)
  assert.deepEqual(p.memory.flushes, ['all'], 'NXE changed')
})

test('MSRs of the machine leave as exits', () => {
  const p = longMode()
  set(p, RCX, 0x4000_0000)
  assert.equal(p.run('0f32'), 'done')
  set(p, RAX, 7)
  set(p, RDX, 1)
  assert.equal(p.run('0f30'), 'done')
  assert.deepEqual(p.exits, [
    { kind: 'rdmsr', size: 8, address: 0x4000_0000, value: 0n },
    { kind: 'wrmsr', size: 8, address: 0x4000_0000, value: 0x1_0000_0007n },
  ])
})

test('the TSC has an offset that WRMSR moves', () => {
  const p = longMode()
  p.context.tscOffset = 5n
  assert.equal(p.run('0f31'), 'done')
  assert.equal(p.context.gpr.get(RAX), 1005n)
  set(p, RCX, 0x10)
  set(p, RAX, 42)
  set(p, RDX, 0)
  assert.equal(p.run('0f30'), 'done')
  p.ticks += 3n
  p.context.tscAux = 9n
  assert.equal(p.run('0f01f9'), 'done')
  assert.equal(p.context.gpr.get(RAX), 45n)
  assert.equal(p.context.gpr.get(RCX), 9n)
})

test('the TSC and TSC_ADJUST move together, whichever is written', () => {
  const p = longMode()
  p.context.tscOffset = 5n
  set(p, RCX, 0x10)
  set(p, RAX, 1000)
  set(p, RDX, 0)
  assert.equal(p.run('0f30'), 'done')
  set(p, RCX, 0x3b)
  assert.equal(p.run('0f32'), 'done')
  assert.equal(p.context.gpr.get(RAX), 0xffff_fffbn, 'the TSC was set back by 5')
  assert.equal(p.context.gpr.get(RDX), 0xffff_ffffn)
  set(p, RAX, 7)
  set(p, RDX, 0)
  assert.equal(p.run('0f30'), 'done')
  assert.equal(p.run('0f31'), 'done')
  assert.equal(p.context.gpr.get(RAX), 1012n)
  assert.deepEqual(p.exits, [])
})

test('IN, OUT, CPUID, HLT and hypercalls leave with what they ask', () => {
  const p = longMode()
  set(p, RAX, 0x12345)
  set(p, RCX, 3)
  set(p, RDX, 0x3f8)
  for (const hex of ['ec', '66ef', 'e680', '0fa2', 'f4', '0f01d9', '0f01c1']) {
    assert.equal(p.run(hex), 'done')
  }
  assert.deepEqual(p.exits.map(({ kind, size, address, value }) =>
    `${kind} ${size} ${address.toString(16)} ${value.toString(16)}`), [
    'in 1 3f8 0', 'out 2 3f8 2345', 'out 1 80 45', 'cpuid 0 12345 3', 'halt 0 0 0',
    'hypercall 0 0 0', 'hypercall 0 0 0',
  ])
  assert.equal(p.context.halted, 1)
})

test('user code reaches ports by the permission bitmap', () => {
  const p = longMode(3)
  set(p, RDX, 0x3f8)
  assert.equal(p.run('ec'), '13(0)', 'no bitmap')
  p.context.tr.limit = 0x200
  p.put(TSS + 102, 2, 0x68)
  p.put(TSS + 0x68 + 0x7f, 2, 0xfffe)
  assert.equal(p.run('ec'), 'done')
  assert.equal(p.run('66ed'), '13(0)', 'the second port is refused')
})

test('where nothing is at ports they read as all ones, without an exit', () => {
  const p = longMode()
  p.hasPorts = false
  set(p, RAX, 0x1234_5678_9abc_def0n)
  assert.equal(p.run('ec'), 'done')
  assert.equal(p.context.gpr.get(RAX), 0x1234_5678_9abc_deffn)
  assert.equal(p.run('ed'), 'done')
  assert.equal(p.context.gpr.get(RAX), 0xffff_ffffn)
  assert.equal(p.exits.length, 0)
  const user = longMode(3)
  user.hasPorts = false
  set(user, RDX, 0x3f8)
  assert.equal(user.run('ec'), '13(0)', 'permission is asked nevertheless')
})

test('REP INS does one iteration at a time, and again when the answer is there', () => {
  const p = protectedMode()
  set(p, RCX, 2)
  set(p, RDX, 0x60)
  set(p, RDI, 0x6000)
  assert.equal(p.run('f36d'), 'exit')
  assert.equal(p.context.gpr.get(RCX), 2n)
  p.portValue = 0x11223344n
  assert.equal(p.run('f36d'), 'done')
  assert.equal(p.context.rip, 0x4000n, 'more to do')
  assert.equal(p.run('f36d'), 'done')
  assert.equal(p.context.rip, 0x4002n)
  assert.equal(p.get(0x6000, 8), 0x1122_3344_1122_3344n)
  assert.equal(p.run('f36f'), 'done')
  assert.equal(p.exits.length, 0, 'a count of zero does nothing')
})

test('STAC and CLAC are undefined in user code, and change the mode', () => {
  const p = longMode()
  const before = p.modeChanges
  assert.equal(p.run('0f01cb'), 'done')
  assert.equal(flagsOf(p.context) >> 18 & 1, 1)
  assert.ok(p.modeChanges > before)
  assert.equal(longMode(3).run('0f01ca'), '6')
})

test('XSAVE and XRSTOR carry x87 and SSE state; XSAVEC compacts', () => {
  const p = longMode()
  const c = p.context
  assert.equal(p.run('480fae27'), '6', 'without CR4.OSXSAVE')
  c.cr4 |= 1n << 18n
  c.xcr0 = 3n
  c.mxcsr = 0x1f80
  c.x87Control = 0x37f
  c.vector.set(4, 0x1111n)
  c.x87Status = 5 << 11
  c.x87Tags = 1 << 5
  c.x87.item(5).significand = 0x8000_0000_0000_0000n
  c.x87.item(5).signExponent = 0x3fff
  set(p, RAX, 7)
  set(p, RDX, 0)
  set(p, RDI, 0x6001)
  assert.equal(p.run('480fae27'), '13(0)', 'not aligned')
  set(p, RDI, 0x6000)
  assert.equal(p.run('480fc727'), 'done')
  assert.equal(p.get(0x6000 + 512, 16), 0x8000_0000_0000_0003_0000_0000_0000_0003n)
  assert.equal(p.get(0x6000 + 32, 10), 0x3fff_8000_0000_0000_0000n, 'ST0 stands first')
  c.vector.set(4, 0n)
  c.x87.item(5).significand = 0n
  c.x87Status = 0
  assert.equal(p.run('480fae2f'), 'done')
  assert.equal(c.vector.get(4), 0x1111n)
  assert.equal(c.x87.item(5).significand, 0x8000_0000_0000_0000n)
  p.put(0x6000 + 512, 8, 4)
  assert.equal(p.run('480fae2f'), '13(0)', 'a component that is not enabled')
  p.put(0x6000 + 512, 16, 0)
  assert.equal(p.run('480fae2f'), 'done')
  assert.equal(c.vector.get(4), 0n, 'the initial state')
  assert.equal(p.run('480fae27'), 'done')
  assert.equal(p.get(0x6000 + 512, 8), 0n)
  c.cr0 |= 8n
  assert.equal(p.run('480fae27'), '7')
})

test('MXCSR alone makes SSE a component in use, but not in the standard form, as on Zen', () => {
  const p = longMode()
  const c = p.context
  c.cr4 |= 1n << 18n
  c.xcr0 = 7n
  c.x87Control = 0x37f
  set(p, RAX, 7)
  set(p, RDI, 0x6000)
  const saved = (mxcsr: number, instruction: string): bigint => {
    c.mxcsr = mxcsr
    p.put(0x6000 + 512, 8, 0)
    assert.equal(p.run(instruction), 'done')
    return p.get(0x6000 + 512, 8)
  }
  const standard = { xsave: '480fae27', xsaveopt: '480fae37' }
  for (const instruction of Object.values(standard)) assert.equal(saved(0x1900, instruction), 0n)
  const compacted = { xsavec: '480fc727', xsaves: '480fc72f' }
  for (const instruction of Object.values(compacted)) {
    assert.equal(saved(0x1f80, instruction), 0n)
    assert.equal(saved(0x1900, instruction), 2n)
    c.mxcsr = 0x1f80
    assert.equal(p.run('480fae2f'), 'done')
    assert.equal(c.mxcsr, 0x1900)
  }
  set(p, RCX, 1)
  assert.equal(p.run('0f01d0'), 'done')
  assert.equal(c.gpr.get(RAX), 2n)
})

test('XSAVE, XSAVEC and XRSTOR carry the upper halves of vector registers', () => {
  for (const save of ['480fae27', '480fc727']) {
    const p = longMode()
    const c = p.context
    c.cr4 |= 1n << 18n
    c.xcr0 = 7n
    c.x87Control = 0x37f
    set(p, RAX, 7)
    set(p, RDX, 0)
    set(p, RDI, 0x6000)
    for (let i = 0; i < 64; i++) c.vector.set(i, BigInt(i + 1))
    assert.equal(p.run(save), 'done')
    assert.equal(p.get(0x6000 + 512, 8) & 6n, 6n)
    assert.equal(p.get(0x6000 + 576, 16), 4n << 64n | 3n)
    assert.equal(p.get(0x6000 + 576 + 15 * 16, 16), 64n << 64n | 63n)
    for (let i = 0; i < 64; i++) c.vector.set(i, 0n)
    // AVX alone, then what is left.
    set(p, RAX, 4)
    assert.equal(p.run('480fae2f'), 'done')
    assert.equal(c.vector.get(4), 0n)
    assert.equal(c.vector.get(6), 7n)
    set(p, RAX, 3)
    assert.equal(p.run('480fae2f'), 'done')
    for (let i = 0; i < 64; i++) assert.equal(c.vector.get(i), BigInt(i + 1))
    // A clear bit in XSTATE_BV stands for the initial state.
    p.put(0x6000 + 512, 8, 3)
    set(p, RAX, 7)
    assert.equal(p.run('480fae2f'), 'done')
    assert.equal(c.vector.get(5), 6n)
    assert.equal(c.vector.get(7), 0n)
  }
})

test('XSETBV accepts x87 alone, with SSE, and both with AVX', () => {
  const p = longMode()
  p.context.cr4 |= 1n << 18n
  for (const value of [1, 3, 7]) {
    set(p, RAX, value)
    assert.equal(p.run('0f01d1'), 'done')
    assert.equal(p.context.xcr0, BigInt(value))
  }
  for (const value of [0, 2, 5, 6, 15]) {
    set(p, RAX, value)
    assert.equal(p.run('0f01d1'), '13(0)')
  }
})

test('INVPCID checks its type and descriptor', () => {
  const p = longMode()
  p.put(0x6000, 16, 0x1234_5000n << 64n)
  set(p, RDI, 0x6000)
  for (const [type, result] of [[0, 'done'], [1, 'done'], [2, 'done'], [3, 'done'],
    [4, '13(0)']] as const) {
    set(p, RAX, type)
    assert.equal(p.run('660f388207'), result)
  }
  assert.deepEqual(p.memory.flushes, ['page 12345000 of 0', 'space 0', 'all', 'non-global'])
  p.put(0x6000, 8, 0x123n)
  for (const [type, result] of [[0, '13(0)'], [1, '13(0)'], [2, 'done'], [3, 'done']] as const) {
    set(p, RAX, type)
    assert.equal(p.run('660f388207'), result, 'a PCID without CR4.PCIDE')
  }
  p.context.cr4 |= 1n << 17n
  p.memory.flushes = []
  for (const type of [0, 1]) {
    set(p, RAX, type)
    assert.equal(p.run('660f388207'), 'done')
  }
  assert.deepEqual(p.memory.flushes, ['page 12345000 of 291', 'space 291'])
  p.put(0x6000, 8, 0x1000n)
  assert.equal(p.run('660f388207'), '13(0)', 'a PCID of more than 12 bits')
  p.put(0x6000, 8, 0x123n)
  p.put(0x6008, 8, 0x8000_0000_0000n)
  set(p, RAX, 0)
  assert.equal(p.run('660f388207'), '13(0)', 'an address that is not canonical')
})
