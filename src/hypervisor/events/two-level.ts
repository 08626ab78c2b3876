/**
 * The 2-level event channel ABI: bit arrays in shared_info, a selector word in vcpu_info.
 *
 * Obeys xen/include/public/xen.h ("EVENT CHANNELS"): 64 words of 64 bits. The words belong to the
 * guest as much as to us, so every change is atomic and nothing read here is believed.
 *
 * Left out: the 32-bit layout of shared_info (32 words of 32 bits).
 */
import { EVTCHN_2L_NR_CHANNELS } from '../../abi/xen/event_channel.ts'
import { SharedInfo, VcpuInfo } from '../../abi/xen/xen.ts'
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { type OwedUpcalls, vcpuInfoAt } from './upcall.ts'

const pendingAt = SharedInfo.offsets.evtchn_pending
const maskAt = SharedInfo.offsets.evtchn_mask
const selectorAt = VcpuInfo.offsets.evtchn_pending_sel

/** The 32-bit word of the array at `offset` of shared_info that holds `port`. */
function cellOfPort(domain: Domain, offset: number, port: number): number {
  return domain.state.sharedInfoMfn * 1024 + offset / 4 + (port >>> 5)
}

/** Raises `port` at `vcpu`; true if it was not pending. */
export function setPending2L(vcpu: Vcpu, port: number, owed: OwedUpcalls): boolean {
  const domain = vcpu.domain
  if (port >= EVTCHN_2L_NR_CHANNELS || domain.state.sharedInfoMfn === 0) return false
  const cells = vcpu.host.machine.cells
  const bit = 1 << (port & 31)
  if (Atomics.or(cells, cellOfPort(domain, pendingAt, port), bit) & bit) return false
  if ((Atomics.load(cells, cellOfPort(domain, maskAt, port)) & bit) === 0) {
    select(vcpu, port, owed)
  }
  return true
}

export function clearPending2L(domain: Domain, port: number): void {
  if (port >= EVTCHN_2L_NR_CHANNELS || domain.state.sharedInfoMfn === 0) return
  const cells = domain.host.machine.cells
  Atomics.and(cells, cellOfPort(domain, pendingAt, port), ~(1 << (port & 31)))
}

export function isPending2L(domain: Domain, port: number): boolean {
  if (port >= EVTCHN_2L_NR_CHANNELS || domain.state.sharedInfoMfn === 0) return false
  const cells = domain.host.machine.cells
  return (Atomics.load(cells, cellOfPort(domain, pendingAt, port)) >>> (port & 31) & 1) !== 0
}

export function isMasked2L(domain: Domain, port: number): boolean {
  if (port >= EVTCHN_2L_NR_CHANNELS || domain.state.sharedInfoMfn === 0) return false
  const cells = domain.host.machine.cells
  return (Atomics.load(cells, cellOfPort(domain, maskAt, port)) >>> (port & 31) & 1) !== 0
}

/** Clears the mask bit, and delivers what waited behind it. */
export function unmask2L(vcpu: Vcpu, port: number, owed: OwedUpcalls): void {
  const domain = vcpu.domain
  if (port >= EVTCHN_2L_NR_CHANNELS || domain.state.sharedInfoMfn === 0) return
  const cells = vcpu.host.machine.cells
  const bit = 1 << (port & 31)
  if ((Atomics.and(cells, cellOfPort(domain, maskAt, port), ~bit) & bit) === 0) return
  if (Atomics.load(cells, cellOfPort(domain, pendingAt, port)) & bit) select(vcpu, port, owed)
}

/** Sets the selector bit of the port's word, and on its edge owes the vcpu an upcall. */
function select(vcpu: Vcpu, port: number, owed: OwedUpcalls): void {
  const info = vcpuInfoAt(vcpu)
  if (info < 0) return
  const word = port >>> 6
  const cell = (info + selectorAt) / 4 + (word >>> 5)
  const bit = 1 << (word & 31)
  if ((Atomics.or(vcpu.host.machine.cells, cell, bit) & bit) === 0) owed.owe(vcpu)
}
