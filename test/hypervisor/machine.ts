/**
 * A machine without a processor: hypervisor and control domain in one thread, for tests.
 */
import { ManualClock } from '../../src/base/clock.ts'
import { openControlDomain } from '../../src/dom0/control-domain.ts'
import type { Domid } from '../../src/abi/numbers.ts'
import { asGfn } from '../../src/abi/numbers.ts'
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm } from '../../src/abi/xen/domctl.ts'
import { XEN_X86_EMU_LAPIC } from '../../src/abi/xen/xen.ts'
import { ControlGate } from '../../src/hypervisor/domain/control.ts'
import { createControlDomain } from '../../src/hypervisor/domain/lifecycle.ts'
import { watchUpcalls } from '../../src/hypervisor/events/upcall.ts'
import { assemble } from '../../src/hypervisor/host/assemble.ts'
import { Host, type HostSettings } from '../../src/hypervisor/host/host.ts'

const BUFFER_PAGES = 64

export function newMachine(
  mebibytes = 32, cores = 2, commandLine = 'test', more: Partial<HostSettings> = {},
) {
  const machineBytes = mebibytes * 1024 * 1024
  const memory = {
    machine: new SharedArrayBuffer(machineBytes),
    hypervisor: new SharedArrayBuffer(Host.memorySize(machineBytes)),
  }
  const clock = new ManualClock()
  Host.lay(memory, { cores, tscKhz: 1_000_000, commandLine, ...more }, clock)
  const { host, dispatcher } = assemble(memory, clock)
  const dom0 = createControlDomain(host, BUFFER_PAGES)
  const gate = new ControlGate(dom0, dispatcher, BUFFER_PAGES,
    (vcpu, handler) => watchUpcalls(vcpu, handler, setImmediate))
  const control = openControlDomain(gate)
  return { memory, clock, host, dispatcher, dom0, gate, control }
}

export type Machine = ReturnType<typeof newMachine>

/** A PVH domain of `pages` pages from gfn 0, paused. */
export function newDomain({ control }: Machine, pages = 256, vcpus = 1): Domid {
  const { xenctrl } = control
  const domid = xenctrl.createDomain({
    handle: new Uint8Array(16).fill(0xab),
    flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
    maxVcpus: vcpus,
    emulationFlags: XEN_X86_EMU_LAPIC,
  })
  xenctrl.setMaxVcpus(domid, vcpus)
  xenctrl.setMaxMem(domid, pages * 4 + 1024)
  if (pages > 0) xenctrl.populateRange(domid, asGfn(0), pages, 0)
  return domid
}
