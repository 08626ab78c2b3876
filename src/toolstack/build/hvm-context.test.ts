/**
 * The start state, read back from its records.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  HVM_SAVE_CODE_END, HVM_SAVE_CODE_HEADER, HVM_SAVE_CODE_MTRR, HvmHwCpu, HvmHwMtrr,
  HvmSaveDescriptor, HvmSaveHeader,
} from '../../abi/save/hvm.ts'
import { startContext } from './hvm-context.ts'
import { pvhStartState } from './start-state.ts'

/** A context with a header and one MTRR record for vcpu 0. */
function freshContext(): Uint8Array {
  const sizes = [HvmSaveHeader.size, HvmHwMtrr.size, 0]
  const codes = [HVM_SAVE_CODE_HEADER, HVM_SAVE_CODE_MTRR, HVM_SAVE_CODE_END]
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size + 8, 0))
  let at = 0
  codes.forEach((code, i) => {
    const descriptor = HvmSaveDescriptor.on(bytes, at)
    descriptor.typecode = code
    descriptor.length = sizes[i]!
    at += 8
    if (code === HVM_SAVE_CODE_HEADER) HvmSaveHeader.on(bytes, at).gtsc_khz = 2_000_000
    if (code === HVM_SAVE_CODE_MTRR) HvmHwMtrr.on(bytes, at).msr_pat_cr = 0x0007040600070406n
    at += sizes[i]!
  })
  return bytes
}

test('vcpu 0 starts in flat 32-bit protected mode at the entry, with EBX at the start info', () => {
  const context = startContext(freshContext(), pvhStartState(0x1000850, 0x3e00000), 2)
  const cpuAt = 8 + HvmSaveHeader.size + 8
  assert.equal(HvmSaveHeader.on(context, 8).gtsc_khz, 2_000_000)
  const cpu = HvmHwCpu.on(context, cpuAt)
  assert.equal(cpu.rip, 0x1000850n)
  assert.equal(cpu.rbx, 0x3e00000n)
  assert.equal(cpu.cr0, 0x11n)
  assert.equal(cpu.cr4, 0n)
  assert.equal(cpu.msr_efer, 0n)
  assert.equal(cpu.rflags, 2n)
  assert.deepEqual([cpu.cs_limit, cpu.cs_arbytes], [0xffffffff, 0xc9b])
  assert.deepEqual([cpu.ss_limit, cpu.ss_arbytes], [0xffffffff, 0xc93])
  assert.deepEqual([cpu.fs_limit, cpu.fs_arbytes], [0xffffffff, 0xc93])
  assert.deepEqual([cpu.gs_limit, cpu.gs_arbytes], [0xffffffff, 0xc93])
  assert.deepEqual([cpu.tr_limit, cpu.tr_arbytes], [0x67, 0x8b])
})

test('every vcpu gets write-back memory, and keeps the rest of its MTRR state', () => {
  const context = startContext(freshContext(), pvhStartState(0x1000850, 0x3e00000), 2)
  const firstAt = 8 + HvmSaveHeader.size + 8 + HvmHwCpu.size
  const first = HvmHwMtrr.on(context, firstAt + 8)
  assert.equal(first.msr_mtrr_def_type, 0x806n)
  assert.equal(first.msr_pat_cr, 0x0007040600070406n)
  const secondAt = firstAt + 8 + HvmHwMtrr.size
  assert.equal(HvmSaveDescriptor.on(context, secondAt).instance, 1)
  assert.equal(HvmHwMtrr.on(context, secondAt + 8).msr_mtrr_def_type, 0x806n)
  assert.equal(context.length, secondAt + 8 + HvmHwMtrr.size + 8)
})
