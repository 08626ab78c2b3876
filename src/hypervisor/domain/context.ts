/**
 * A vcpu's registers as a save record: conversion between struct hvm_hw_cpu and the processor's
 * CpuContext.
 *
 * The x87 and SSE part of the record is an FXSAVE image (APM 2, figure 11-8). XCR0 and the upper
 * halves of the vector registers are in a record of their own (extended-context.ts); they are reset
 * by loading this one.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import type { HvmHwCpu } from '../../abi/save/hvm.ts'
import { XEN_X86_FPU_INITIALISED } from '../../abi/save/hvm.ts'
import { EVENT_VALID } from '../../cpu/exceptions/event.ts'
import { CpuContext, type CpuContextView, flagsOf, setFlags } from '../../cpu/state.ts'
import { VcpuState } from './state.ts'
import type { Vcpu } from './vcpu.ts'

type Record = ViewOf<typeof HvmHwCpu>

/** The vcpu's saved context: what a core loads and saves at a switch. */
export function contextOf(vcpu: Vcpu): CpuContextView {
  return CpuContext.on(vcpu.host.hypervisor.buffer, vcpu.address + VcpuState.offsets.context)
}

/** RAX RCX RDX RBX RSP RBP RSI RDI R8 … by number. */
const GPR_NAMES = [
  'rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi',
  'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
] as const
/** ES CS SS DS FS GS by number. */
const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const

const APIC_BASE_RESET = 0xfee0_0800n
const MISC_ENABLE_RESET = 1n
const PAT_RESET = 0x0007_0406_0007_0406n
const MXCSR_RESET = 0x1f80
const FCW_RESET = 0x37f

/** Fills a context from a record. MSRs that the record lacks get their reset values. */
export function loadRecord(cpu: CpuContextView, record: Record): void {
  GPR_NAMES.forEach((name, i) => cpu.gpr.set(i, record[name]))
  cpu.rip = record.rip
  setFlags(cpu, Number(record.rflags & 0xffff_ffffn))
  for (const name of ['cr0', 'cr2', 'cr3', 'cr4'] as const) cpu[name] = record[name]
  cpu.cr8 = 0n
  cpu.efer = record.msr_efer
  cpu.xcr0 = 1n
  const debug = [record.dr0, record.dr1, record.dr2, record.dr3, 0n, 0n, record.dr6, record.dr7]
  debug.forEach((value, i) => cpu.dr.set(i, value))
  SEGMENT_NAMES.forEach((name, i) => loadSegment(cpu.segments.item(i), record, name))
  loadSegment(cpu.ldtr, record, 'ldtr')
  loadSegment(cpu.tr, record, 'tr')
  cpu.gdtr.base = record.gdtr_base
  cpu.gdtr.limit = record.gdtr_limit
  cpu.idtr.base = record.idtr_base
  cpu.idtr.limit = record.idtr_limit
  // CPL is the privilege level of SS (APM 2, 15.5.1: where VMCB.CPL comes from).
  cpu.cpl = record.cr0 & 1n ? record.ss_arbytes >>> 5 & 3 : 0
  cpu.interruptShadow = 0
  cpu.halted = 0
  cpu.nmiPending = 0
  cpu.nmiBlocked = 0
  cpu.pendingEvent = record.pending_event & EVENT_VALID ? record.pending_event : 0
  cpu.pendingErrorCode = record.error_code
  loadMsrs(cpu, record)
  loadFpu(cpu, record)
}

function loadSegment(
  segment: ViewOf<typeof CpuContext>['ldtr'], record: Record,
  name: (typeof SEGMENT_NAMES)[number] | 'ldtr' | 'tr',
): void {
  segment.base = record[`${name}_base`]
  segment.limit = record[`${name}_limit`]
  segment.attributes = attributesOf(record[`${name}_arbytes`])
  segment.selector = record[`${name}_sel`] & 0xffff
}

/** Xen's arbytes are 12 bits as in the VMCB, or (from older savers) VMX's, with a gap at 8-11. */
function attributesOf(arbytes: number): number {
  const gap = arbytes & 0xf000 ? arbytes & 0xff | arbytes >>> 4 & 0xf00 : arbytes
  return gap & 0xfff
}

function loadMsrs(cpu: CpuContextView, record: Record): void {
  cpu.star = record.msr_star
  cpu.lstar = record.msr_lstar
  cpu.cstar = record.msr_cstar
  cpu.sfmask = record.msr_syscall_mask
  cpu.kernelGsBase = record.shadow_gs
  cpu.sysenterCs = record.sysenter_cs
  cpu.sysenterEsp = record.sysenter_esp
  cpu.sysenterEip = record.sysenter_eip
  cpu.tscAux = record.msr_tsc_aux
  cpu.pat = PAT_RESET
  cpu.apicBase = APIC_BASE_RESET
  cpu.miscEnable = MISC_ENABLE_RESET
  cpu.debugCtl = 0n
  cpu.xss = 0n
  cpu.tscAdjust = 0n
}

function loadFpu(cpu: CpuContextView, record: Record): void {
  for (let i = 0; i < 64; i++) cpu.vector.set(i, 0n)
  cpu.x87Status = 0
  cpu.x87Tags = 0
  cpu.x87Control = FCW_RESET
  cpu.mxcsr = MXCSR_RESET
  if ((record.flags & XEN_X86_FPU_INITIALISED) === 0) return
  const image = new DataView(record.bytes.buffer, record.bytes.byteOffset + record.base, 512)
  cpu.x87Control = image.getUint16(0, true)
  cpu.x87Status = image.getUint16(2, true)
  cpu.x87Tags = image.getUint8(4)
  cpu.x87LastOpcode = image.getUint16(6, true)
  cpu.x87LastIp = image.getBigUint64(8, true)
  cpu.x87LastDp = image.getBigUint64(16, true)
  cpu.mxcsr = image.getUint32(24, true) & 0xffff
  const top = cpu.x87Status >>> 11 & 7
  for (let i = 0; i < 8; i++) {
    const register = cpu.x87.item(i + top & 7)
    register.significand = image.getBigUint64(32 + i * 16, true)
    register.signExponent = image.getUint16(40 + i * 16, true)
  }
  for (let i = 0; i < 16; i++) {
    cpu.vector.set(i * 4, image.getBigUint64(160 + i * 16, true))
    cpu.vector.set(i * 4 + 1, image.getBigUint64(168 + i * 16, true))
  }
}

/** Fills a record from a context. */
export function saveRecord(cpu: CpuContextView, record: Record, tsc: bigint): void {
  GPR_NAMES.forEach((name, i) => { record[name] = cpu.gpr.get(i) })
  record.rip = cpu.rip
  record.rflags = BigInt(flagsOf(cpu))
  for (const name of ['cr0', 'cr2', 'cr3', 'cr4'] as const) record[name] = cpu[name]
  record.msr_efer = cpu.efer
  record.dr0 = cpu.dr.get(0)
  record.dr1 = cpu.dr.get(1)
  record.dr2 = cpu.dr.get(2)
  record.dr3 = cpu.dr.get(3)
  record.dr6 = cpu.dr.get(6)
  record.dr7 = cpu.dr.get(7)
  SEGMENT_NAMES.forEach((name, i) => saveSegment(cpu.segments.item(i), record, name))
  saveSegment(cpu.ldtr, record, 'ldtr')
  saveSegment(cpu.tr, record, 'tr')
  record.gdtr_base = cpu.gdtr.base
  record.gdtr_limit = cpu.gdtr.limit
  record.idtr_base = cpu.idtr.base
  record.idtr_limit = cpu.idtr.limit
  record.msr_star = cpu.star
  record.msr_lstar = cpu.lstar
  record.msr_cstar = cpu.cstar
  record.msr_syscall_mask = cpu.sfmask
  record.shadow_gs = cpu.kernelGsBase
  record.sysenter_cs = cpu.sysenterCs
  record.sysenter_esp = cpu.sysenterEsp
  record.sysenter_eip = cpu.sysenterEip
  record.msr_tsc_aux = cpu.tscAux
  record.tsc = tsc
  record.pending_event = cpu.pendingEvent
  record.error_code = cpu.pendingErrorCode
  record.flags = XEN_X86_FPU_INITIALISED
  saveFpu(cpu, record)
}

function saveSegment(
  segment: ViewOf<typeof CpuContext>['ldtr'], record: Record,
  name: (typeof SEGMENT_NAMES)[number] | 'ldtr' | 'tr',
): void {
  record[`${name}_base`] = segment.base
  record[`${name}_limit`] = segment.limit
  record[`${name}_arbytes`] = segment.attributes
  record[`${name}_sel`] = segment.selector
}

function saveFpu(cpu: CpuContextView, record: Record): void {
  const image = new DataView(record.bytes.buffer, record.bytes.byteOffset + record.base, 512)
  for (let i = 0; i < 512; i++) image.setUint8(i, 0)
  image.setUint16(0, cpu.x87Control, true)
  image.setUint16(2, cpu.x87Status, true)
  image.setUint8(4, cpu.x87Tags)
  image.setUint16(6, cpu.x87LastOpcode, true)
  image.setBigUint64(8, cpu.x87LastIp, true)
  image.setBigUint64(16, cpu.x87LastDp, true)
  image.setUint32(24, cpu.mxcsr, true)
  image.setUint32(28, 0xffff, true)
  const top = cpu.x87Status >>> 11 & 7
  for (let i = 0; i < 8; i++) {
    const register = cpu.x87.item(i + top & 7)
    image.setBigUint64(32 + i * 16, register.significand, true)
    image.setUint16(40 + i * 16, register.signExponent, true)
  }
  for (let i = 0; i < 16; i++) {
    image.setBigUint64(160 + i * 16, cpu.vector.get(i * 4), true)
    image.setBigUint64(168 + i * 16, cpu.vector.get(i * 4 + 1), true)
  }
}
