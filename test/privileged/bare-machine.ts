/**
 * Our processor with memory and three ports, enough for a bare program: what QEMU runs as -kernel.
 *
 * A reset starts the program anew with memory as it is. A write to the local APIC's interrupt
 * command register sends the processor itself an interrupt.
 */
import { nativeCpuid, defaultPolicy } from '../../src/cpu/cpuid.ts'
import { Cpu, type CpuOptions } from '../../src/cpu/cpu.ts'
import {
  LEAF_ENTRIES, LEAF_SHIFT, P2M_MFN_SHIFT, P2M_MMIO, P2M_RAM_RW,
} from '../../src/cpu/p2m-format.ts'
import { CPU_CONTEXT_SIZE, CpuContext, setFlags } from '../../src/cpu/state.ts'
import { MEMORY_BYTES, places, ports } from './layout.ts'

const P2M = MEMORY_BYTES
const APIC_LEAF = P2M + 0x2_0000
const DOORBELL = APIC_LEAF + 0x1_0000
const TOTAL_BYTES = DOORBELL + 0x1_0000
const BUDGET = 1_000_000
const MAX_RUNS = 3000
const MAX_RESETS = 200
const ICR = places.LAPIC + 0x300
const ES = 0
const CS = 1
const GP = 13
const UD = 6

export class BareMachine {
  readonly cpu: Cpu
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #program: Uint8Array
  readonly #sent: number[] = []
  #pending = -1

  constructor(program: Uint8Array, options: Partial<CpuOptions> = {}) {
    const pages = TOTAL_BYTES / 65536
    const machine = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    this.#program = program
    this.#bytes = new Uint8Array(machine.buffer)
    this.#view = new DataView(machine.buffer)
    for (let gfn = 0; gfn < MEMORY_BYTES >> 12; gfn += LEAF_ENTRIES) {
      this.#setDirectory(gfn, gfn << P2M_MFN_SHIFT | P2M_RAM_RW)
    }
    const lapic = places.LAPIC / 4096
    this.#setDirectory(lapic, APIC_LEAF)
    this.#view.setUint32(APIC_LEAF + lapic % LEAF_ENTRIES * 4, P2M_MMIO, true)
    let ticks = 0
    let random = 1
    this.cpu = new Cpu({
      ...options,
      machine, doorbell: DOORBELL, tsc: () => ticks += 100,
      random: () => random++ * 0x9e3779b1 >>> 0,
    })
    this.cpu.setMemory(P2M)
  }

  #setDirectory(gfn: number, word: number): void {
    this.#view.setUint32(P2M + (gfn >>> LEAF_SHIFT) * 4, word, true)
  }

  /** Loads the program's segments and puts the processor where PVH says that it starts. */
  #reset(): void {
    const file = new DataView(this.#program.buffer, this.#program.byteOffset)
    const table = Number(file.getBigUint64(32, true))
    for (let i = 0; i < file.getUint16(56, true); i++) {
      const header = table + i * 56
      if (file.getUint32(header, true) !== 1) continue
      const offset = Number(file.getBigUint64(header + 8, true))
      const physical = Number(file.getBigUint64(header + 24, true))
      const size = Number(file.getBigUint64(header + 32, true))
      this.#bytes.set(this.#program.subarray(offset, offset + size), physical)
    }
    const bytes = new Uint8Array(CPU_CONTEXT_SIZE)
    const context = CpuContext.on(bytes.buffer, 0)
    for (let i = ES; i < 6; i++) {
      const segment = context.segments.item(i)
      segment.limit = 0xffff_ffff
      segment.attributes = i === CS ? 0xc9b : 0xc93
    }
    context.tr.limit = 0x67
    context.tr.attributes = 0x8b
    context.cr0 = 0x11n
    context.xcr0 = 1n
    context.dr.set(6, 0xffff_0ff0n)
    context.dr.set(7, 0x400n)
    context.mxcsr = 0x1f80
    context.x87Control = 0x37f
    context.pat = 0x0007_0406_0007_0406n
    context.rip = file.getBigUint64(24, true)
    setFlags(context, 2)
    this.cpu.loadContext(bytes)
    this.cpu.flushCode()
  }

  /** Runs to the end; the records. Stops early when the program goes nowhere. */
  run(): Buffer {
    this.#reset()
    let resets = 0
    for (let runs = 0; runs < MAX_RUNS;) {
      const kind = this.cpu.run(BUDGET)
      if (kind === 'budget') runs += 1
      if (kind === 'out' && this.cpu.exit.address === ports.END) break
      if (kind === 'shutdown') {
        if (resets++ >= MAX_RESETS) break
        this.#reset()
      } else {
        this.#answer(kind)
      }
    }
    return Buffer.from(this.#sent)
  }

  #answer(kind: string): void {
    const { cpu } = this
    const { exit, context } = cpu
    switch (kind) {
      case 'out':
        if (exit.address === ports.RECORDS) this.#sent.push(Number(exit.value & 0xffn))
        break
      case 'in': cpu.complete(0xffff_ffffn); break
      case 'mmio-read': cpu.complete(0n); break
      case 'mmio-write':
        if (exit.address === ICR) this.#pending = Number(exit.value & 0xffn)
        cpu.requestWindow(this.#pending >= 0)
        cpu.complete(0n)
        break
      case 'window': this.#interrupt(); break
      case 'rdmsr': case 'wrmsr': cpu.injectException(GP, 0); break
      case 'hypercall': cpu.injectException(UD); break
      case 'cpuid': {
        const found = nativeCpuid(exit.address, Number(exit.value), defaultPolicy, {
          cr4: context.cr4, xcr0: context.xcr0, apicId: 0, vcpuCount: 1,
        })
        const { eax, ebx, ecx, edx } = found
        ;[eax, ecx, edx, ebx].forEach((value, i) => context.gpr.set(i, BigInt(value)))
        break
      }
      case 'halt':
        if (this.#pending >= 0 && cpu.canTakeInterrupt()) this.#interrupt()
        break
    }
  }

  #interrupt(): void {
    this.cpu.requestWindow(false)
    this.cpu.injectInterrupt(this.#pending)
    this.#pending = -1
  }
}
