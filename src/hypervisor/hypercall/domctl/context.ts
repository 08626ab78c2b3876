/**
 * domctl: a domain's state as HVM save records (xen/include/public/hvm/save.h).
 *
 * The stream is HEADER, then for each type all vcpus' records (CPU, LAPIC, LAPIC_REGS, MTRR,
 * CPU_XSAVE, TSC_ADJUST), then END. Loading a CPU record brings its vcpu up, as in Xen, and resets
 * what has a record of its own. Left out: CPU_MSR and the records of emulated devices that PVH
 * domains do not have.
 */
import { EFAULT, EINVAL, ENOSPC } from '../../../abi/xen/errno.ts'
import { XEN_DOMCTL_gethvmcontext, XEN_DOMCTL_sethvmcontext } from '../../../abi/xen/domctl.ts'
import * as S from '../../../abi/save/hvm.ts'
import type { Domain } from '../../domain/domain.ts'
import { contextOf, loadRecord, saveRecord } from '../../domain/context.ts'
import { loadExtended, saveExtended, XSAVE_RECORD_SIZE } from '../../domain/extended-context.ts'
import { MAX_VCPUS, VcpuState, VPF_down, WORK_CONTEXT, WORK_PLATFORM } from
  '../../domain/state.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import { domctlCommand } from './control.ts'

const DESCRIPTOR = S.HvmSaveDescriptor.size
const descriptorBytes = new DataView(new ArrayBuffer(DESCRIPTOR))
const descriptor = S.HvmSaveDescriptor.on(descriptorBytes)

/** Records that lie in the vcpu's struct just as they travel. */
const kept = [
  { code: S.HVM_SAVE_CODE_LAPIC, size: S.HvmHwLapic.size, offset: VcpuState.offsets.lapic },
  { code: S.HVM_SAVE_CODE_LAPIC_REGS, size: S.HvmHwLapicRegs.size,
    offset: VcpuState.offsets.lapicRegs },
  { code: S.HVM_SAVE_CODE_MTRR, size: S.HvmHwMtrr.size, offset: VcpuState.offsets.mtrr },
] as const

/** Writes records one after the other into the caller's memory. */
class RecordWriter {
  failed = false
  readonly #caller: Vcpu
  readonly #limit: number
  #at: number

  constructor(caller: Vcpu, at: number, size: number) {
    this.#caller = caller
    this.#at = at
    this.#limit = at + size
  }

  add(code: number, instance: number, body: Uint8Array): void {
    descriptor.typecode = code
    descriptor.instance = instance
    descriptor.length = body.length
    const { memory } = this.#caller
    if (this.#at + DESCRIPTOR + body.length > this.#limit) this.failed = true
    if (this.failed) return
    this.failed = !memory.copyOut(descriptorBytes, this.#at, DESCRIPTOR)
      || !memory.writeFrom(body, this.#at + DESCRIPTOR)
    this.#at += DESCRIPTOR + body.length
  }
}

function sizeOf(domain: Domain): number {
  const each = DESCRIPTOR * (3 + kept.length) + S.HvmHwCpu.size + XSAVE_RECORD_SIZE
    + S.HvmTscAdjust.size + kept.reduce((sum, { size }) => sum + size, 0)
  return DESCRIPTOR * 2 + S.HvmSaveHeader.size + domain.vcpuCount * each
}

function writeRecords(caller: Vcpu, domain: Domain, at: number, size: number): boolean {
  const writer = new RecordWriter(caller, at, size)
  const { octets } = domain.host.hypervisor
  const header = S.HvmSaveHeader.on(new ArrayBuffer(S.HvmSaveHeader.size))
  header.magic = S.HVM_FILE_MAGIC
  header.version = S.HVM_FILE_VERSION
  header.changeset = 0xffff_ffff_ffff_ffffn
  header.cpuid = domain.host.state.hwCap.get(0)
  header.gtsc_khz = domain.state.tscKhz
  writer.add(S.HVM_SAVE_CODE_HEADER, 0, new Uint8Array(header.bytes.buffer))
  const tsc = BigInt(Math.floor(domain.host.clock.now() * domain.state.tscKhz / 1e6))
  const record = S.HvmHwCpu.on(new ArrayBuffer(S.HvmHwCpu.size))
  for (const vcpu of vcpusOf(domain)) {
    if (vcpu.state.flags & VPF_down) continue
    const context = contextOf(vcpu)
    saveRecord(context, record, tsc + context.tscOffset)
    writer.add(S.HVM_SAVE_CODE_CPU, vcpu.id, new Uint8Array(record.bytes.buffer))
  }
  for (const { code, size: length, offset } of kept) {
    for (const vcpu of vcpusOf(domain)) {
      const from = vcpu.address + offset
      writer.add(code, vcpu.id, octets.subarray(from, from + length))
    }
  }
  for (const vcpu of vcpusOf(domain)) {
    if (vcpu.state.flags & VPF_down) continue
    const context = contextOf(vcpu)
    saveRecord(context, record, 0n)
    writer.add(S.CPU_XSAVE_CODE, vcpu.id,
      saveExtended(context, new Uint8Array(record.bytes.buffer)))
  }
  const adjust = S.HvmTscAdjust.on(new ArrayBuffer(S.HvmTscAdjust.size))
  for (const vcpu of vcpusOf(domain)) {
    adjust.tsc_adjust = contextOf(vcpu).tscAdjust
    writer.add(S.HVM_SAVE_CODE_TSC_ADJUST, vcpu.id, new Uint8Array(adjust.bytes.buffer))
  }
  writer.add(S.HVM_SAVE_CODE_END, 0, new Uint8Array(0))
  return !writer.failed
}

function* vcpusOf(domain: Domain): Generator<Vcpu> {
  for (let i = 0; i < domain.vcpuCount; i++) {
    const vcpu = domain.vcpu(i)
    if (vcpu) yield vcpu
  }
}

const MAX_STREAM = 64 * 1024 + MAX_VCPUS * 8192

/** Takes one record: 0 or -EINVAL. */
function loadOne(domain: Domain, code: number, instance: number, body: DataView): number {
  if (code === S.HVM_SAVE_CODE_HEADER) {
    return body.byteLength >= 8 && body.getUint32(0, true) === S.HVM_FILE_MAGIC ? 0 : -EINVAL
  }
  const vcpu = domain.vcpu(instance)
  if (!vcpu) return -EINVAL
  if (code === S.HVM_SAVE_CODE_CPU) return loadCpu(vcpu, body)
  if (code === S.CPU_XSAVE_CODE) {
    if (!loadExtended(contextOf(vcpu), body)) return -EINVAL
    vcpu.requestWork(WORK_CONTEXT)
    return 0
  }
  if (code === S.HVM_SAVE_CODE_TSC_ADJUST) {
    if (body.byteLength !== S.HvmTscAdjust.size) return -EINVAL
    contextOf(vcpu).tscAdjust = S.HvmTscAdjust.on(body).tsc_adjust
    vcpu.requestWork(WORK_CONTEXT)
    return 0
  }
  const record = kept.find((entry) => entry.code === code)
  if (!record || body.byteLength !== record.size) return -EINVAL
  const bytes = new Uint8Array(body.buffer, body.byteOffset, body.byteLength)
  vcpu.host.hypervisor.octets.set(bytes, vcpu.address + record.offset)
  vcpu.requestWork(WORK_PLATFORM)
  return 0
}

function loadCpu(vcpu: Vcpu, body: DataView): number {
  if (body.byteLength !== S.HvmHwCpu.size) return -EINVAL
  const { state } = vcpu
  const record = S.HvmHwCpu.on(body)
  const { hypervisor } = vcpu.host
  hypervisor.octets.set(new Uint8Array(body.buffer, body.byteOffset, body.byteLength),
    state.base + VcpuState.offsets.cpuRecord)
  const context = contextOf(vcpu)
  loadRecord(context, record)
  context.apicBase = state.lapic.apic_base_msr
  state.initialised = 1
  vcpu.requestWork(WORK_CONTEXT)
  vcpu.clearFlag(VPF_down)
  vcpu.wake()
  return 0
}

function loadRecords(domain: Domain, stream: DataView): number {
  for (let at = 0; at + DESCRIPTOR <= stream.byteLength;) {
    const head = S.HvmSaveDescriptor.on(stream, at)
    const { typecode, instance, length } = head
    at += DESCRIPTOR
    if (typecode === S.HVM_SAVE_CODE_END) return 0
    if (at + length > stream.byteLength) return -EINVAL
    const body = new DataView(stream.buffer, stream.byteOffset + at, length)
    const status = loadOne(domain, typecode, instance, body)
    if (status < 0) return status
    at += length
  }
  return -EINVAL
}

export const contextCommands = [
  domctlCommand(XEN_DOMCTL_gethvmcontext, 'inout', function gethvmcontext(caller, domain, op) {
    const request = op.u.hvmcontext
    const needed = sizeOf(domain)
    if (request.buffer === 0) {
      request.size = needed
      return 0
    }
    if (domain.id === caller.domain.id) return -EINVAL
    if (request.size < needed) return -ENOSPC
    domain.pause()
    const done = writeRecords(caller, domain, request.buffer, request.size)
    domain.unpause()
    request.size = needed
    return done ? 0 : -EFAULT
  }),
  domctlCommand(XEN_DOMCTL_sethvmcontext, 'in', function sethvmcontext(caller, domain, op) {
    const { size, buffer } = op.u.hvmcontext
    if (domain.id === caller.domain.id || size > MAX_STREAM) return -EINVAL
    const stream = new Uint8Array(size)
    if (!caller.memory.readInto(stream, buffer)) return -EFAULT
    domain.pause()
    const status = loadRecords(domain, new DataView(stream.buffer))
    domain.unpause()
    return status
  }),
]
