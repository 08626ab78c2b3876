/**
 * A small machine without a processor, for the tests of this room: Dom0, and guests whose linear
 * addresses are their physical ones.
 */
import { assert } from '../../base/assert.ts'
import { ManualClock } from '../../base/clock.ts'
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm } from '../../abi/xen/domctl.ts'
import type { Domain } from '../domain/domain.ts'
import { createControlDomain, createDomain, createVcpus } from '../domain/lifecycle.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { HypercallArgs } from '../hypercall/args.ts'
import { populate } from '../memory/reservation.ts'
import { assemble } from './assemble.ts'
import { Host } from './host.ts'

export function sampleMachine(mebibytes = 16, cores = 1, commandLine = 'sample') {
  const machineBytes = mebibytes * 1024 * 1024
  const memory = {
    machine: new SharedArrayBuffer(machineBytes),
    hypervisor: new SharedArrayBuffer(Host.memorySize(machineBytes)),
  }
  const clock = new ManualClock()
  Host.lay(memory, { cores, tscKhz: 1_000_000, commandLine }, clock)
  const { host, dispatcher } = assemble(memory, clock)
  const dom0 = createControlDomain(host, 8)
  physical(dom0.vcpu(0))
  const args = new HypercallArgs()

  /** A guest with `pages` of RAM from gfn 0 and room for as many again. */
  function guest(pages = 8, vcpus = 1): Vcpu {
    const domid = createDomain(host, {
      domid: 0, flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, ssidref: 0,
      handle: new Uint8Array(16), maxVcpus: vcpus, maxEvtchnPort: 1023, maxGrantFrames: -1,
      maxMaptrackFrames: -1, maxGrantVersion: 1, emulationFlags: 1, miscFlags: 0,
    })
    const domain = host.domain(domid)
    assert(domain && createVcpus(domain) === 0, 'a sample domain')
    domain.state.maxPages = pages * 2
    for (let i = 0; i < pages; i++) assert(populate(domain, i, 0) === 0, 'its memory')
    return physical(domain.vcpu(0))
  }

  /** One call, as often as it wants to be taken up again; how often is in `turns`. */
  const turns = { last: 0 }
  function call(vcpu: Vcpu, number: number, ...values: readonly number[]): number {
    for (let i = 0; i < 6; i++) args.set(i, values[i] ?? 0)
    turns.last = 0
    for (;;) {
      turns.last++
      const status = dispatcher.call(vcpu, number, args)
      if (!args.restart) return status
    }
  }

  return { memory, clock, host, dispatcher, dom0, guest, call, turns }
}

function physical(vcpu: Vcpu | undefined): Vcpu {
  assert(vcpu, 'a sample vcpu')
  const domain: Domain = vcpu.domain
  vcpu.setTranslate((linear, write) => domain.p2m.translate(linear, write))
  return vcpu
}

export type SampleMachine = ReturnType<typeof sampleMachine>
