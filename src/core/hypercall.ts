/**
 * From a VMMCALL exit to the hypervisor and back: registers to arguments, the result to RAX.
 *
 * 64-bit callers pass rdi rsi rdx r10 r8 r9, others ebx ecx edx esi edi ebp; the number is in eax.
 * Only kernel code may call. A hypercall that wants to go on later is executed again: its arguments
 * go back to the registers, and rip to the instruction.
 */
import { EFER } from '../abi/x86/control.ts'
import { CS, R8, R9, R10, RAX, RBP, RBX, RCX, RDI, RDX, RSI } from '../abi/x86/registers.ts'
import { EPERM } from '../abi/xen/errno.ts'
import { CpuContext, type CpuContextView, SEGMENT_L } from '../cpu/state.ts'
import type { Vcpu } from '../hypervisor/domain/vcpu.ts'
import { HypercallArgs } from '../hypervisor/hypercall/args.ts'
import type { Dispatcher } from '../hypervisor/hypercall/dispatch.ts'

const LONG_REGISTERS = [RDI, RSI, RDX, R10, R8, R9] as const
const SHORT_REGISTERS = [RBX, RCX, RDX, RSI, RDI, RBP] as const
/** Of both VMCALL and VMMCALL. */
const INSTRUCTION_BYTES = 3n
const EFER_LMA = BigInt(EFER.LMA)
const WORD = 0x1_0000_0000
const gprAt = CpuContext.offsets.gpr

export class HypercallDoor {
  readonly #dispatcher: Dispatcher
  readonly #args = new HypercallArgs()

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher
  }

  /** Carries out the hypercall that the registers in `context` ask for. */
  enter(vcpu: Vcpu, context: CpuContextView): void {
    if (context.cpl !== 0) {
      setResult(context, -EPERM, false)
      return
    }
    const long = (context.efer & EFER_LMA) !== 0n
      && (context.segments.item(CS).attributes & SEGMENT_L) !== 0
    vcpu.compat = !long
    const registers = long ? LONG_REGISTERS : SHORT_REGISTERS
    const args = this.#args
    const { bytes } = context
    for (let i = 0; i < 6; i++) {
      const at = context.base + gprAt + registers[i]! * 8
      args.lo[i] = bytes.getUint32(at, true)
      args.hi[i] = long ? bytes.getUint32(at + 4, true) : 0
    }
    const number = bytes.getUint32(context.base + gprAt + RAX * 8, true)
    const status = this.#dispatcher.call(vcpu, number, args)
    if (!args.restart) {
      setResult(context, status, !long)
      return
    }
    for (let i = 0; i < 6; i++) {
      const at = context.base + gprAt + registers[i]! * 8
      bytes.setUint32(at, args.lo[i]!, true)
      bytes.setUint32(at + 4, long ? args.hi[i]! : 0, true)
    }
    context.rip = BigInt.asUintN(64, context.rip - INSTRUCTION_BYTES)
  }
}

function setResult(context: CpuContextView, status: number, compat: boolean): void {
  const at = context.base + gprAt + RAX * 8
  context.bytes.setInt32(at, status | 0, true)
  if (status > 0x7fff_ffff) context.bytes.setUint32(at, status % WORD, true)
  context.bytes.setInt32(at + 4, compat ? 0 : Math.floor(status / WORD), true)
}
