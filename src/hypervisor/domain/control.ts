/**
 * The gate through which the built-in control domain makes hypercalls: its pages, its one vcpu, and
 * the calling thread as that vcpu.
 */
import { assert } from '../../base/assert.ts'
import { HypercallArgs } from '../hypercall/args.ts'
import type { Dispatcher } from '../hypercall/dispatch.ts'
import type { Domain } from './domain.ts'
import type { Vcpu } from './vcpu.ts'

const PAGE = 4096

export class ControlGate {
  readonly buffer: Uint8Array
  readonly vcpu: Vcpu
  readonly #domain: Domain
  readonly #dispatcher: Dispatcher
  readonly #args = new HypercallArgs()
  readonly #watch: (vcpu: Vcpu, handler: () => void) => () => void
  #inCall = false

  /**
   * `bufferPages` of the domain's memory, from gfn 0 on and in a row, are the buffer for arguments.
   * `watch` calls its handler soon after the vcpu was given an event.
   */
  constructor(
    domain: Domain, dispatcher: Dispatcher, bufferPages: number,
    watch: (vcpu: Vcpu, handler: () => void) => () => void,
  ) {
    const vcpu = domain.vcpu(0)
    assert(vcpu, 'the control domain has a vcpu')
    this.vcpu = vcpu
    this.#domain = domain
    this.#dispatcher = dispatcher
    this.#watch = watch
    vcpu.setTranslate((linear, write) => domain.p2m.translate(linear, write))
    const first = domain.p2m.frame(0, true)
    assert(domain.p2m.frame(bufferPages - 1, true) === first + bufferPages - 1,
      'the control domain\'s buffer is in one piece')
    this.buffer = domain.host.machine.octets.subarray(
      first * PAGE, (first + bufferPages) * PAGE)
  }

  /** Makes a hypercall, as often as it wants to be taken up again. */
  call(number: number, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0): number {
    assert(!this.#inCall, 'the control domain is in a hypercall already')
    this.#inCall = true
    const args = this.#args
    args.set(0, a0)
    args.set(1, a1)
    args.set(2, a2)
    args.set(3, a3)
    args.set(4, a4)
    let status = this.#dispatcher.call(this.vcpu, number, args)
    while (args.restart) status = this.#dispatcher.call(this.vcpu, number, args)
    this.#inCall = false
    return status
  }

  /** The page at `gfn` of the control domain, or undefined at a hole. */
  page(gfn: number): Uint8Array | undefined {
    const mfn = this.#domain.p2m.frame(gfn, false)
    if (mfn === 0) return undefined
    return this.#domain.host.machine.octets.subarray(mfn * PAGE, (mfn + 1) * PAGE)
  }

  /** Calls `handler` soon after each upcall; answers what ends that. */
  onUpcall(handler: () => void): () => void {
    return this.#watch(this.vcpu, handler)
  }
}
