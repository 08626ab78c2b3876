/**
 * A vcpu's extended state as a save record: struct hvm_hw_cpu_xsave with XSAVE's area in its
 * standard form (xen/include/public/arch-x86/hvm/save.h; AMD APM 2, 11.5).
 *
 * The legacy part of the area is that of the CPU record, which is loaded before this one; here are
 * XCR0 and AVX's upper halves of vector registers.
 */
import { HvmHwCpuXsave } from '../../abi/save/hvm.ts'
import { XCR0 } from '../../abi/x86/control.ts'
import type { CpuContextView } from '../../cpu/state.ts'
import { componentsInUse, XCR0_SUPPORTED } from '../../cpu/system/xsave.ts'

const AVX_AT = HvmHwCpuXsave.size
const LEGACY = 512

export const XSAVE_RECORD_SIZE = AVX_AT + 256

/** The record's bytes; `legacy` is the FXSAVE image of the CPU record. */
export function saveExtended(cpu: CpuContextView, legacy: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(XSAVE_RECORD_SIZE)
  const view = new DataView(bytes.buffer)
  const record = HvmHwCpuXsave.on(view)
  record.xfeature_mask = BigInt(XCR0_SUPPORTED)
  record.xcr0 = cpu.xcr0
  record.xcr0_accum = cpu.xcr0 | BigInt(XCR0.X87 | XCR0.SSE)
  const area = HvmHwCpuXsave.offsets.save_area
  bytes.set(legacy.subarray(0, LEGACY), area)
  record.save_area.xsave_hdr.xstate_bv = BigInt(componentsInUse(cpu))
  for (let i = 0; i < 16; i++) {
    view.setBigUint64(AVX_AT + i * 16, cpu.vector.get(i * 4 + 2), true)
    view.setBigUint64(AVX_AT + i * 16 + 8, cpu.vector.get(i * 4 + 3), true)
  }
  return bytes
}

/** Loads a record; false for one that promises what this processor has not. */
export function loadExtended(cpu: CpuContextView, body: DataView): boolean {
  if (body.byteLength < HvmHwCpuXsave.size) return false
  const { xcr0, xcr0_accum: accumulated, save_area: { xsave_hdr: header } } =
    HvmHwCpuXsave.on(body)
  const hasAvx = (header.xstate_bv & BigInt(XCR0.AVX)) !== 0n
  const allowed = (xcr0 & 1n) !== 0n && (xcr0 & ~accumulated) === 0n
    && (accumulated & ~BigInt(XCR0_SUPPORTED)) === 0n
    && (header.xstate_bv & ~accumulated) === 0n && header.xcomp_bv === 0n
  if (!allowed || hasAvx && body.byteLength < XSAVE_RECORD_SIZE) return false
  cpu.xcr0 = xcr0
  for (let i = 0; i < 16; i++) {
    cpu.vector.set(i * 4 + 2, hasAvx ? body.getBigUint64(AVX_AT + i * 16, true) : 0n)
    cpu.vector.set(i * 4 + 3, hasAvx ? body.getBigUint64(AVX_AT + i * 16 + 8, true) : 0n)
  }
  return true
}
