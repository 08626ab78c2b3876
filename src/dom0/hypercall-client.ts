/**
 * Hypercalls with their arguments laid out in the buffer pages, and errors as XenError.
 *
 * The buffer is a stack: what a call lays out is gone when the call is over.
 */
import { assert } from '../base/assert.ts'
import type { Fields, Layout, View } from '../base/layout/struct.ts'
import { asDomid, type Domid } from '../abi/numbers.ts'
import { errnoName } from '../abi/xen/errno.ts'
import { XEN_DOMCTL_INTERFACE_VERSION, XenDomctl } from '../abi/xen/domctl.ts'
import { XEN_SYSCTL_INTERFACE_VERSION, XenSysctl } from '../abi/xen/sysctl.ts'
import { __HYPERVISOR_domctl, __HYPERVISOR_sysctl } from '../abi/xen/xen.ts'
import { type HypercallGate, XenError } from './interfaces.ts'

const PAGE = 4096

export type DomctlView = View<typeof XenDomctl.fields>
export type SysctlView = View<typeof XenSysctl.fields>

export class HypercallClient {
  readonly gate: HypercallGate
  readonly #window: DataView
  /** Address 0 is left out: to a hypercall it says "no buffer". */
  #top = 64

  constructor(gate: HypercallGate) {
    this.gate = gate
    const { buffer } = gate
    this.#window = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
  }

  /** Bytes that a call may still lay out. */
  get room(): number {
    return this.gate.buffer.length - this.#top
  }

  /** Runs `body`, and frees what it laid out. */
  scope<T>(body: () => T): T {
    const mark = this.#top
    try {
      return body()
    } finally {
      this.#top = mark
    }
  }

  /** Zeroed bytes in the buffer, by address. */
  allocate(size: number): number {
    const at = this.#top
    this.#top = at + Math.ceil(size / 8) * 8
    assert(this.#top <= this.gate.buffer.length, 'the hypercall buffer is full')
    this.gate.buffer.fill(0, at, this.#top)
    return at
  }

  /** Whole pages in the buffer, not zeroed, by address; Dom0's frame is that divided by a page. */
  allocatePages(count: number): number {
    const at = Math.ceil(this.#top / PAGE) * PAGE
    this.#top = at + count * PAGE
    assert(this.#top <= this.gate.buffer.length, 'the hypercall buffer is full')
    return at
  }

  /** A view of what was laid out at an address. */
  view<F extends Fields>(layout: Layout<F>, at: number): View<F> {
    return layout.on(this.#window, at)
  }

  /** A struct in the buffer; its `position` is its address. */
  struct<F extends Fields>(layout: Layout<F>): View<F> {
    return layout.on(this.#window, this.allocate(layout.size))
  }

  bytes(at: number, length: number): Uint8Array {
    return this.gate.buffer.subarray(at, at + length)
  }

  /** Lays out 64-bit numbers one after the other. */
  words(values: readonly number[]): number {
    const at = this.allocate(values.length * 8)
    values.forEach((value, i) => {
      this.#window.setUint32(at + i * 8, value, true)
      this.#window.setUint32(at + i * 8 + 4, Math.floor(value / 0x1_0000_0000), true)
    })
    return at
  }

  /** Lays out 32-bit numbers one after the other. */
  ints(values: readonly number[]): number {
    const at = this.allocate(values.length * 4)
    values.forEach((value, i) => this.#window.setUint32(at + i * 4, value, true))
    return at
  }

  /** The signed 32-bit word at an address. */
  int(at: number): number {
    return this.#window.getInt32(at, true)
  }

  /** Makes a hypercall; a negative answer is thrown under the name `call`. */
  call(call: string, number: number, a0 = 0, a1 = 0, a2 = 0): number {
    return checked(call, this.gate.call(number, a0, a1, a2))
  }

  /** A domctl: `fill` sets the arguments, and the view holds the answer until the scope ends. */
  domctl(
    call: string, cmd: number, domid: Domid, fill?: (op: DomctlView) => void,
  ): DomctlView {
    const op = this.struct(XenDomctl)
    op.cmd = cmd
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION
    op.domain = asDomid(domid)
    fill?.(op)
    this.call(call, __HYPERVISOR_domctl, op.position)
    return op
  }

  sysctl(call: string, cmd: number, fill?: (op: SysctlView) => void): SysctlView {
    const op = this.struct(XenSysctl)
    op.cmd = cmd
    op.interface_version = XEN_SYSCTL_INTERFACE_VERSION
    fill?.(op)
    this.call(call, __HYPERVISOR_sysctl, op.position)
    return op
  }
}

/** `status` if it is no error; otherwise throws it. */
export function checked(call: string, status: number): number {
  if (status < 0) throw new XenError(call, -status, errnoName(-status))
  return status
}
