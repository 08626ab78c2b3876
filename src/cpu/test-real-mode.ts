/**
 * Processors in real mode over a memory of their own, for tests of what they do about events.
 */
import { Cpu } from './cpu.ts'
import { LEAF_ENTRIES, P2M_MFN_SHIFT, P2M_RAM_RW } from './p2m-format.ts'
import { CPU_CONTEXT_SIZE, CpuContext, RFLAGS, setFlags } from './state.ts'

const PAGES = 64
const P2M = 0x10_0000
const LEAF = 0x12_0000
const HLT = 0xf4
/** Where the code begins, and a handler that halts. */
export const CODE = 0x500
export const HANDLER = 0x600

export class RealModeMachine {
  readonly memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true })
  readonly view = new DataView(this.memory.buffer)

  /** All is RAM; `code` ends with HLT, and `vectors` lead to the handler. */
  constructor(code: readonly number[], vectors: readonly number[]) {
    this.view.setUint32(P2M, LEAF, true)
    for (let gfn = 0; gfn < LEAF_ENTRIES; gfn++) this.setPage(gfn, P2M_RAM_RW)
    for (const vector of vectors) this.view.setUint32(vector * 4, HANDLER, true)
    new Uint8Array(this.memory.buffer).set([...code, HLT], CODE)
    this.view.setUint8(HANDLER, HLT)
  }

  setPage(gfn: number, type: number): void {
    this.view.setUint32(LEAF + gfn * 4, gfn << P2M_MFN_SHIFT | type, true)
  }

  /** A processor at the code, with its stack below `stack` and interrupts on. */
  processor(stack: number): Cpu {
    const bytes = new Uint8Array(CPU_CONTEXT_SIZE)
    const context = CpuContext.on(bytes)
    for (let i = 0; i < 6; i++) {
      const segment = context.segments.item(i)
      segment.limit = 0xffff
      segment.attributes = i === 1 ? 0x9b : 0x93
    }
    context.idtr.limit = 0x3ff
    context.cr0 = 0x10n
    context.rip = BigInt(CODE)
    context.gpr.set(4, BigInt(stack))
    setFlags(context, RFLAGS.IF | 2)
    return this.processorWith(bytes)
  }

  /** Another processor with a saved context. */
  processorWith(bytes: Uint8Array): Cpu {
    const cpu = new Cpu({ machine: this.memory, doorbell: 0, tsc: () => 0, random: () => 0 })
    cpu.setMemory(P2M)
    cpu.loadContext(bytes)
    return cpu
  }

  /** Where the handler returns to. */
  returnAddress(cpu: Cpu): number {
    return this.view.getUint16(Number(cpu.context.gpr.get(4)), true)
  }
}
