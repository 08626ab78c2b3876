/**
 * The shapes of hypercalls: one with sub-operations, and batches of equal elements.
 *
 * An argument is copied out of the guest once, before its handler runs, and the handler sees only
 * the copy: the guest cannot change it between check and use. Handlers run to completion, so one
 * buffer a sub-operation and thread is enough, and a call allocates nothing.
 */
import type { Fields, Layout, View } from '../../base/layout/struct.ts'
import { EFAULT, ENOSYS } from '../../abi/xen/errno.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { HypercallArgs } from './args.ts'

/** What RAX will hold: 0 or a count, or a negative error. */
export type Status = number

/** Who may call, as in Xen's table. */
export interface Columns {
  readonly pv64: boolean
  readonly pv32: boolean
  readonly hvm64: boolean
  readonly hvm32: boolean
}

export interface Hypercall {
  readonly number: number
  readonly name: string
  readonly columns: Columns
  /** The sub-operations, for the reference page. */
  readonly subops: readonly Subop[]
  run(caller: Vcpu, args: HypercallArgs): Status
}

export interface Subop {
  readonly number: number
  readonly name: string
  run(caller: Vcpu, argument: number, args: HypercallArgs): Status
}

/** Room for one argument struct, and its views as each ABI lays it out. */
export class Argument<F extends Fields> {
  readonly bytes: DataView
  readonly #sizes: { readonly native: number, readonly compat: number }
  readonly #native: View<F>
  readonly #compat: View<F>

  constructor(layout: Layout<F>) {
    const compat = layout.for('x86_32')
    this.bytes = new DataView(new ArrayBuffer(Math.max(layout.size, compat.size)))
    this.#sizes = { native: layout.size, compat: compat.size }
    this.#native = layout.on(this.bytes)
    this.#compat = compat.on(this.bytes)
  }

  sizeFor(caller: Vcpu): number {
    return caller.compat ? this.#sizes.compat : this.#sizes.native
  }

  viewFor(caller: Vcpu): View<F> {
    return caller.compat ? this.#compat : this.#native
  }
}

/** A sub-operation whose argument is one struct. 'inout' copies it back if there was no error,
 * 'always' in any case. */
export function subop<F extends Fields>(
  number: number, layout: Layout<F>, direction: 'in' | 'inout' | 'always',
  handler: (caller: Vcpu, op: View<F>, args: HypercallArgs) => Status,
): Subop {
  const struct = new Argument(layout)
  const { bytes } = struct
  return {
    number,
    name: handler.name,
    run(caller, argument, args) {
      const size = struct.sizeFor(caller)
      if (!caller.memory.copyIn(bytes, argument, size)) return -EFAULT
      const status = handler(caller, struct.viewFor(caller), args)
      if (direction === 'in' || status < 0 && direction !== 'always') return status
      return caller.memory.copyOut(bytes, argument, size) ? status : -EFAULT
    },
  }
}

/** A sub-operation that `check` may refuse before its struct is read: 0, or an error. */
export function checked(check: (caller: Vcpu, args: HypercallArgs) => Status, ask: Subop): Subop {
  return {
    ...ask,
    run: (caller, argument, args) => check(caller, args) || ask.run(caller, argument, args),
  }
}

/** A sub-operation without a struct: the handler reads what it needs itself. */
export function plainSubop(
  number: number, name: string,
  run: (caller: Vcpu, argument: number, args: HypercallArgs) => Status,
): Subop {
  return { number, name, run }
}

/** Elements of a batch done before the guest gets another turn. */
const BATCH_LIMIT = 256

/**
 * A sub-operation on an array of structs, `count` of them in the third argument: each is copied in,
 * handled and copied back, whatever became of it. The handler puts its outcome into the element.
 */
export function batch<F extends Fields>(
  number: number, layout: Layout<F>, handler: (caller: Vcpu, op: View<F>) => Status,
): Subop {
  const struct = new Argument(layout)
  const { bytes } = struct
  return {
    number,
    name: handler.name,
    run(caller, argument, args) {
      const size = struct.sizeFor(caller)
      const op = struct.viewFor(caller)
      const count = args.u32(2)
      const now = Math.min(count, BATCH_LIMIT)
      for (let i = 0; i < now; i++) {
        const at = argument + i * size
        if (!caller.memory.copyIn(bytes, at, size)) return -EFAULT
        const status = handler(caller, op)
        if (status < 0) return status
        if (!caller.memory.copyOut(bytes, at, size)) return -EFAULT
      }
      if (now === count) return 0
      args.set(1, argument + now * size)
      args.set(2, count - now)
      args.restart = true
      return 0
    },
  }
}

const everyone: Columns = { pv64: true, pv32: false, hvm64: true, hvm32: true }
const only64: Columns = { pv64: true, pv32: false, hvm64: true, hvm32: false }

/** Who may call, by name. There are no 32-bit PV guests, as in Debian's Xen. */
export const columns = { everyone, only64 } as const

export interface OperationShape {
  readonly columns?: Columns
  /** Which argument says the sub-operation (0) and which points to the struct (1). */
  readonly commandAt?: number
  readonly argumentAt?: number
  /** The bits of the command that say the sub-operation. */
  readonly commandMask?: number
}

/** A hypercall made of sub-operations; an unknown one is -ENOSYS. */
export function operation(
  number: number, name: string, subops: readonly Subop[], shape: OperationShape = {},
): Hypercall {
  const byNumber = new Map(subops.map((entry) => [entry.number, entry]))
  const commandAt = shape.commandAt ?? 0
  const argumentAt = shape.argumentAt ?? 1
  const mask = shape.commandMask ?? 0xffff_ffff
  return {
    number, name, subops,
    columns: shape.columns ?? only64,
    run(caller, args) {
      const entry = byNumber.get((args.u32(commandAt) & mask) >>> 0)
      if (!entry) return -ENOSYS
      return entry.run(caller, args.pointer(argumentAt), args)
    },
  }
}

/** A hypercall that is one function. */
export function simple(
  number: number, name: string, run: (caller: Vcpu, args: HypercallArgs) => Status,
  allowed: Columns = only64,
): Hypercall {
  return { number, name, columns: allowed, subops: [], run }
}
