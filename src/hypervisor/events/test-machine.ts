/**
 * A small machine for tests: 16 MiB, a control domain, and guests whose hypercalls take structs
 * from their first page.
 */
import { assert } from '../../base/assert.ts'
import { ManualClock } from '../../base/clock.ts'
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm } from '../../abi/xen/domctl.ts'
import { createControlDomain, createDomain, createVcpus } from '../domain/lifecycle.ts'
import type { Domain } from '../domain/domain.ts'
import { VPF_down } from '../domain/state.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { HypercallArgs } from '../hypercall/args.ts'
import { assemble, type Hypervisor } from '../host/assemble.ts'
import { Host } from '../host/host.ts'
import { populate } from '../memory/reservation.ts'

const MACHINE_BYTES = 16 * 1024 * 1024
const GUEST_PAGES = 32

export class TestMachine {
  readonly clock = new ManualClock()
  readonly host: Host
  readonly hypervisor: Hypervisor
  readonly dom0: Domain
  readonly #args = new HypercallArgs()

  constructor(cores = 1) {
    const memory = {
      machine: new SharedArrayBuffer(MACHINE_BYTES),
      hypervisor: new SharedArrayBuffer(Host.memorySize(MACHINE_BYTES)),
    }
    this.clock.nowNs = 5_000_000_000
    this.clock.wallMs = 1_700_000_000_000
    Host.lay(memory, { cores, tscKhz: 1_000_000 }, this.clock)
    this.hypervisor = assemble(memory, this.clock)
    this.host = this.hypervisor.host
    this.dom0 = createControlDomain(this.host, 64)
    physical(this.dom0)
  }

  /** A guest with memory, unpaused; its vcpu 0 is up. */
  guest(vcpus = 1): Domain {
    const domid = createDomain(this.host, {
      domid: 0, flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, ssidref: 0,
      handle: new Uint8Array(16), maxVcpus: vcpus, maxEvtchnPort: 2000, maxGrantFrames: 4,
      maxMaptrackFrames: 4, maxGrantVersion: 1, emulationFlags: 1, miscFlags: 0,
    })
    const domain = this.host.domain(domid)
    assert(domain && createVcpus(domain) === 0, 'the guest is made')
    domain.state.maxPages = GUEST_PAGES
    for (let gfn = 0; gfn < GUEST_PAGES; gfn++) {
      assert(populate(domain, gfn, 0) === 0, 'the guest has memory')
    }
    physical(domain)
    const vcpu = this.vcpu(domain)
    vcpu.state.initialised = 1
    vcpu.clearFlag(VPF_down)
    domain.setControllerPause(false)
    return domain
  }

  vcpu(domain: Domain, id = 0): Vcpu {
    const vcpu = domain.vcpu(id)
    assert(vcpu, 'the vcpu is there')
    return vcpu
  }

  /** Machine address of a guest-physical address. */
  at(domain: Domain, address: number): number {
    const machine = domain.p2m.translate(address, true)
    assert(machine >= 0, 'the guest has memory there')
    return machine
  }

  /** A hypercall with plain arguments. */
  call(vcpu: Vcpu, number: number, ...values: number[]): number {
    for (let i = 0; i < 6; i++) this.#args.set(i, values[i] ?? 0)
    let status = this.hypervisor.dispatcher.call(vcpu, number, this.#args)
    while (this.#args.restart) {
      status = this.hypervisor.dispatcher.call(vcpu, number, this.#args)
    }
    return status
  }

  /** A sub-operation whose struct is given as 32-bit words, and answers what became of them. */
  op(vcpu: Vcpu, number: number, command: number, words: readonly number[]): Answer {
    const bytes = this.host.machine.bytes
    const at = this.at(vcpu.domain, STRUCT_AT)
    words.forEach((word, i) => bytes.setUint32(at + i * 4, word, true))
    const status = this.call(vcpu, number, command, STRUCT_AT, 1)
    return { status, words: words.map((_, i) => bytes.getUint32(at + i * 4, true)) }
  }
}

export interface Answer {
  readonly status: number
  readonly words: readonly number[]
}

/** Where structs lie in guest memory: below this is what a test puts there itself. */
const STRUCT_AT = 0x800

/** Linear addresses are physical ones. */
function physical(domain: Domain): void {
  for (let i = 0; i < domain.vcpuCount; i++) {
    domain.vcpu(i)?.setTranslate((linear, write) => domain.p2m.translate(linear, write))
  }
}
