/**
 * The 2-level event channel ABI: bit arrays in shared_info, a selector word in vcpu_info.
 *
 * Obeys xen/include/public/xen.h ("EVENT CHANNELS"): 64 words of 64 bits, or 32 of 32. The words
 * belong to the guest as much as to us, so every change is atomic and nothing read here is
 * believed.
 */
import type { Domain } from '../domain/domain.ts'
import { eventWords } from '../domain/shared-info.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { type OwedUpcalls, vcpuInfoAt } from './upcall.ts'

/** Whether there is a bit for `port`. */
function hasBit(domain: Domain, port: number): boolean {
  return port < eventWords(domain).ports && domain.state.sharedInfoMfn !== 0
}

/** The 32-bit word of shared_info that says whether `port` is pending. */
function pendingCell(domain: Domain, port: number): number {
  return (domain.state.sharedInfoMfn * 4096 + eventWords(domain).pending) / 4 + (port >>> 5)
}

/** The one that says whether it is masked. */
function maskCell(domain: Domain, port: number): number {
  return (domain.state.sharedInfoMfn * 4096 + eventWords(domain).mask) / 4 + (port >>> 5)
}

/** Raises `port` at `vcpu`; true if it was not pending. */
export function setPending2L(vcpu: Vcpu, port: number, owed: OwedUpcalls): boolean {
  const domain = vcpu.domain
  if (!hasBit(domain, port)) return false
  const cells = vcpu.host.machine.cells
  const bit = 1 << (port & 31)
  if (Atomics.or(cells, pendingCell(domain, port), bit) & bit) return false
  if ((Atomics.load(cells, maskCell(domain, port)) & bit) === 0) {
    select(vcpu, port, owed)
  }
  return true
}

export function clearPending2L(domain: Domain, port: number): void {
  if (!hasBit(domain, port)) return
  const cells = domain.host.machine.cells
  Atomics.and(cells, pendingCell(domain, port), ~(1 << (port & 31)))
}

export function isPending2L(domain: Domain, port: number): boolean {
  if (!hasBit(domain, port)) return false
  const cells = domain.host.machine.cells
  return (Atomics.load(cells, pendingCell(domain, port)) >>> (port & 31) & 1) !== 0
}

export function isMasked2L(domain: Domain, port: number): boolean {
  if (!hasBit(domain, port)) return false
  const cells = domain.host.machine.cells
  return (Atomics.load(cells, maskCell(domain, port)) >>> (port & 31) & 1) !== 0
}

/** Clears the mask bit, and delivers what waited behind it. */
export function unmask2L(vcpu: Vcpu, port: number, owed: OwedUpcalls): void {
  const domain = vcpu.domain
  if (!hasBit(domain, port)) return
  const cells = vcpu.host.machine.cells
  const bit = 1 << (port & 31)
  if ((Atomics.and(cells, maskCell(domain, port), ~bit) & bit) === 0) return
  if (Atomics.load(cells, pendingCell(domain, port)) & bit) select(vcpu, port, owed)
}

/** Sets the selector bit of the port's word, and on its edge owes the vcpu an upcall. */
function select(vcpu: Vcpu, port: number, owed: OwedUpcalls): void {
  const info = vcpuInfoAt(vcpu)
  if (info < 0) return
  const { selector, shift } = eventWords(vcpu.domain)
  const word = port >>> shift
  const cell = (info + selector) / 4 + (word >>> 5)
  const bit = 1 << (word & 31)
  if ((Atomics.or(vcpu.host.machine.cells, cell, bit) & bit) === 0) owed.owe(vcpu)
}
