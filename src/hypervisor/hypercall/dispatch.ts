/**
 * The way into the hypervisor: looks a hypercall up and runs it on the calling thread.
 *
 * A number that nobody implements, or that is not for callers of this kind, is -ENOSYS. That the
 * caller runs with kernel privilege is checked by whoever has its registers.
 */
import { assert } from '../../base/assert.ts'
import { heldLocks } from '../../base/shared/lock.ts'
import { EFAULT, EINVAL, ENOSYS } from '../../abi/xen/errno.ts'
import { __HYPERVISOR_multicall, MulticallEntry } from '../../abi/xen/xen.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { HypercallArgs } from './args.ts'
import { columns, type Hypercall, simple, type Status } from './operation.ts'

const TABLE_SIZE = 64
const MULTICALL_LIMIT = 64

export class Dispatcher {
  readonly #table: (Hypercall | undefined)[] = new Array(TABLE_SIZE)
  readonly hypercalls: readonly Hypercall[]

  constructor(hypercalls: readonly Hypercall[]) {
    const multicall = simple(__HYPERVISOR_multicall, 'multicall',
      (caller, args) => this.#multicall(caller, args), columns.everyone)
    this.hypercalls = [...hypercalls, multicall].sort((a, b) => a.number - b.number)
    for (const hypercall of this.hypercalls) {
      assert(this.#table[hypercall.number] === undefined, `${hypercall.name} is there twice`)
      this.#table[hypercall.number] = hypercall
    }
  }

  /**
   * Runs hypercall `number` for `caller`. Unless `args.restart` is set afterwards, the result goes
   * to RAX, sign-extended.
   */
  call(caller: Vcpu, number: number, args: HypercallArgs): Status {
    args.restart = false
    const status = this.#run(caller, number, args)
    assert(heldLocks() === 0, 'a hypercall kept a lock')
    return status
  }

  #run(caller: Vcpu, number: number, args: HypercallArgs): Status {
    const hypercall = number >>> 0 < TABLE_SIZE ? this.#table[number] : undefined
    if (!hypercall) return -ENOSYS
    const allowed = hypercall.columns
    const hvm = caller.domain.isHvm
    const may = hvm
      ? caller.compat ? allowed.hvm32 : allowed.hvm64
      : caller.compat ? allowed.pv32 : allowed.pv64
    return may ? hypercall.run(caller, args) : -ENOSYS
  }

  readonly #inner = new HypercallArgs()
  readonly #bytes = new DataView(new ArrayBuffer(MulticallEntry.size))
  readonly #native = MulticallEntry.on(this.#bytes)
  readonly #compat = MulticallEntry.for('x86_32').on(this.#bytes)
  #inMulticall = false

  /** HYPERVISOR_multicall: a list of hypercalls, each with its result in its entry. */
  #multicall(caller: Vcpu, args: HypercallArgs): Status {
    if (this.#inMulticall) return -EINVAL
    this.#inMulticall = true
    const list = args.pointer(0)
    const count = args.u32(1)
    const size = caller.compat ? MulticallEntry.for('x86_32').size : MulticallEntry.size
    const now = Math.min(count, MULTICALL_LIMIT)
    let done = 0
    let status = 0
    while (done < now && status === 0) {
      status = this.#entry(caller, list + done * size, size)
      if (status === 0) done++
    }
    this.#inMulticall = false
    if (status < 0) return status
    if (done < count) {
      args.set(0, list + done * size)
      args.set(1, count - done)
      args.restart = true
    }
    return 0
  }

  /** One entry: 0, 1 when it must be run again (its arguments are updated), or -EFAULT. */
  #entry(caller: Vcpu, at: number, size: number): number {
    const { memory } = caller
    if (!memory.copyIn(this.#bytes, at, size)) return -EFAULT
    const entry = caller.compat ? this.#compat : this.#native
    const inner = this.#inner
    inner.restart = false
    for (let i = 0; i < 6; i++) this.#loadArgument(caller.compat, i)
    const result = this.#run(caller, entry.op, inner)
    if (inner.restart) {
      for (let i = 0; i < 6; i++) this.#storeArgument(caller.compat, i)
      return memory.copyOut(this.#bytes, at, size) ? 1 : -EFAULT
    }
    entry.result = result
    return memory.copyOut(this.#bytes, at, size) ? 0 : -EFAULT
  }

  /** Exactly, not through a number: an argument may be any 64 bits. */
  #loadArgument(compat: boolean, index: number): void {
    const word = compat ? 4 : 8
    const at = 2 * word + index * word
    this.#inner.lo[index] = this.#bytes.getUint32(at, true)
    this.#inner.hi[index] = compat ? 0 : this.#bytes.getUint32(at + 4, true)
  }

  #storeArgument(compat: boolean, index: number): void {
    const word = compat ? 4 : 8
    const at = 2 * word + index * word
    this.#bytes.setUint32(at, this.#inner.lo[index]!, true)
    if (!compat) this.#bytes.setUint32(at + 4, this.#inner.hi[index]!, true)
  }
}
