/**
 * The shape of domctl and sysctl: one big struct with a command, copied in and, where the command
 * answers something, out again.
 */
import type { Domain } from '../../domain/domain.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import type { View } from '../../../base/layout/struct.ts'
import type { XenDomctl } from '../../../abi/xen/domctl.ts'
import type { XenSysctl } from '../../../abi/xen/sysctl.ts'
import type { Status } from '../operation.ts'

export type DomctlView = View<typeof XenDomctl.fields>
export type SysctlView = View<typeof XenSysctl.fields>

/** One command of domctl. Its handler's answer is copied back only for 'inout'. */
export interface DomctlCommand {
  readonly number: number
  readonly name: string
  readonly direction: 'in' | 'inout'
  run(caller: Vcpu, domain: Domain, op: DomctlView): Status
}

export interface SysctlCommand {
  readonly number: number
  readonly name: string
  readonly direction: 'in' | 'inout'
  run(caller: Vcpu, op: SysctlView): Status
}

export function domctlCommand(
  number: number, direction: 'in' | 'inout',
  run: (caller: Vcpu, domain: Domain, op: DomctlView) => Status,
): DomctlCommand {
  return { number, name: run.name, direction, run }
}

export function sysctlCommand(
  number: number, direction: 'in' | 'inout', run: (caller: Vcpu, op: SysctlView) => Status,
): SysctlCommand {
  return { number, name: run.name, direction, run }
}

const bitmapBytes = new Uint8Array(64)

interface Bitmap {
  readonly bitmap: number
  readonly nr_bits: number
}

/** Writes a bitmap of `words` into the caller's xenctl_bitmap, as many bits as it has room for. */
export function putBitmap(
  caller: Vcpu, to: Bitmap, bitOf: (index: number) => boolean,
): boolean {
  if (to.bitmap === 0) return true
  const length = Math.min(Math.ceil(to.nr_bits / 8), bitmapBytes.length)
  const bytes = bitmapBytes.subarray(0, length).fill(0)
  for (let i = 0; i < length * 8 && i < to.nr_bits; i++) {
    if (bitOf(i)) bytes[i >>> 3]! |= 1 << (i & 7)
  }
  return caller.memory.writeFrom(bytes, to.bitmap)
}

/** Reads the caller's xenctl_bitmap: at most 512 bits; undefined on a fault. */
export function getBitmap(caller: Vcpu, from: Bitmap): Uint8Array | undefined {
  const length = Math.min(Math.ceil(from.nr_bits / 8), bitmapBytes.length)
  const bytes = bitmapBytes.subarray(0, length)
  if (!caller.memory.readInto(bytes, from.bitmap)) return undefined
  if (from.nr_bits & 7 && length * 8 > from.nr_bits) {
    bytes[length - 1]! &= (1 << (from.nr_bits & 7)) - 1
  }
  return bytes
}
