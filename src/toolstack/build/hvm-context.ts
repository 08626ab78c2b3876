/**
 * A domain's start state as HVM save records, the form in which the hypervisor takes it
 * (XEN_DOMCTL_sethvmcontext).
 *
 * Obeys xen/include/public/hvm/save.h: records of descriptor and body, the header first, an end
 * record last. As libxenguest does, what is not set here is kept from the domain's own context.
 */
import {
  HVM_SAVE_CODE_CPU, HVM_SAVE_CODE_END, HVM_SAVE_CODE_HEADER, HVM_SAVE_CODE_MTRR, HvmHwCpu,
  HvmHwMtrr, HvmSaveDescriptor,
} from '../../abi/save/hvm.ts'
import { assert } from '../../base/assert.ts'
import type { StartState } from './start-state.ts'

export interface SaveRecord {
  readonly type: number
  readonly instance: number
  readonly body: Uint8Array
}

const DR6_DEFAULT = 0xffff0ff0n
const DR7_DEFAULT = 0x400n

/**
 * The records that put vcpu 0 into `state` and give all `vcpuCount` vcpus its memory types. `fresh`
 * is the context of the domain as XEN_DOMCTL_gethvmcontext gave it.
 */
export function startContext(
  fresh: Uint8Array, state: StartState, vcpuCount: number,
): Uint8Array {
  const old = readRecords(fresh)
  const header = old.find((record) => record.type === HVM_SAVE_CODE_HEADER)
  assert(header, 'a saved context begins with a header')
  const records: SaveRecord[] = [header]
  records.push({ type: HVM_SAVE_CODE_CPU, instance: 0, body: cpuBody(state) })
  for (let instance = 0; instance < vcpuCount; instance++) {
    const own = old.find((r) => r.type === HVM_SAVE_CODE_MTRR && r.instance === instance)
    const body = own ? own.body.slice() : new Uint8Array(HvmHwMtrr.size)
    HvmHwMtrr.on(body).msr_mtrr_def_type = BigInt(state.mtrrDefaultType)
    records.push({ type: HVM_SAVE_CODE_MTRR, instance, body })
  }
  records.push({ type: HVM_SAVE_CODE_END, instance: 0, body: new Uint8Array(0) })
  return writeRecords(records)
}

/** The records of a context, but for the end. */
export function readRecords(bytes: Uint8Array): SaveRecord[] {
  const records: SaveRecord[] = []
  for (let at = 0; at + HvmSaveDescriptor.size <= bytes.length;) {
    const { typecode, instance, length } = HvmSaveDescriptor.on(bytes, at)
    at += HvmSaveDescriptor.size
    if (typecode === HVM_SAVE_CODE_END) break
    records.push({ type: typecode, instance, body: bytes.subarray(at, at + length) })
    at += length
  }
  return records
}

function writeRecords(records: readonly SaveRecord[]): Uint8Array {
  const size = records.reduce((sum, r) => sum + HvmSaveDescriptor.size + r.body.length, 0)
  const bytes = new Uint8Array(size)
  let at = 0
  for (const { type, instance, body } of records) {
    const descriptor = HvmSaveDescriptor.on(bytes, at)
    descriptor.typecode = type
    descriptor.instance = instance
    descriptor.length = body.length
    bytes.set(body, at + HvmSaveDescriptor.size)
    at += HvmSaveDescriptor.size + body.length
  }
  return bytes
}

function cpuBody(state: StartState): Uint8Array {
  const body = new Uint8Array(HvmHwCpu.size)
  const cpu = HvmHwCpu.on(body)
  cpu.rip = BigInt(state.rip)
  cpu.rbx = BigInt(state.rbx)
  cpu.rflags = BigInt(state.rflags)
  cpu.cr0 = BigInt(state.cr0)
  cpu.cr4 = BigInt(state.cr4)
  cpu.msr_efer = BigInt(state.efer)
  cpu.dr6 = DR6_DEFAULT
  cpu.dr7 = DR7_DEFAULT
  cpu.cs_base = BigInt(state.cs.base)
  cpu.cs_limit = state.cs.limit
  cpu.cs_arbytes = state.cs.attributes
  for (const name of ['ds', 'es', 'ss', 'fs', 'gs'] as const) {
    cpu[`${name}_base`] = BigInt(state.data.base)
    cpu[`${name}_limit`] = state.data.limit
    cpu[`${name}_arbytes`] = state.data.attributes
  }
  cpu.tr_base = BigInt(state.tr.base)
  cpu.tr_limit = state.tr.limit
  cpu.tr_arbytes = state.tr.attributes
  return body
}
