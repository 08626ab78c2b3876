/**
 * The hypercall page: 128 stubs of 32 bytes through which older guests call Xen (MSR 0x40000000).
 *
 * Each is `mov $n, %eax; vmmcall; ret`. iret, which no HVM guest may call, is UD2.
 */
import { __HYPERVISOR_iret } from '../../abi/xen/xen.ts'
import type { Domain } from '../../hypervisor/domain/domain.ts'

const STUBS = 128
const STUB_BYTES = 32
const INT3 = 0xcc
const stub = [0xb8, 0, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3]
const ud2 = [0x0f, 0x0b]

/** Fills the guest's page that the MSR's value names; false when it names none. */
export function writeHypercallPage(domain: Domain, value: bigint): boolean {
  if ((value & 0xfffn) !== 0n) return false
  domain.p2m.lock()
  const mfn = domain.p2m.frame(Number(value >> 12n), true)
  const taken = mfn !== 0 && domain.host.frames.get(mfn)
  domain.p2m.unlock()
  if (!taken) return false
  const page = domain.host.machine.octets.subarray(mfn * 4096, mfn * 4096 + 4096)
  page.fill(INT3)
  for (let n = 0; n < STUBS; n++) {
    page.set(n === __HYPERVISOR_iret ? ud2 : stub, n * STUB_BYTES)
    if (n !== __HYPERVISOR_iret) page[n * STUB_BYTES + 1] = n
  }
  domain.host.frames.put(mfn)
  return true
}
