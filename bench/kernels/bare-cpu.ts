/**
 * Runs the benchmark image on our processor, without a hypervisor: memory, two ports, nothing else.
 *
 *   bare-cpu.ts IMAGE.elf 'KERNEL ROUNDS ...'    prints checksum and CPU seconds, a line each
 *
 * The CPU time is that of the whole process while a kernel runs, compiler threads included.
 */
import { readFileSync } from 'node:fs'
import { Cpu } from '../../src/cpu/cpu.ts'
import { LEAF_ENTRIES, LEAF_SHIFT, P2M_MFN_SHIFT, P2M_RAM_RW } from '../../src/cpu/p2m-format.ts'
import { CPU_CONTEXT_SIZE, CpuContext, setFlags } from '../../src/cpu/state.ts'

const MEMORY_BYTES = 16 << 20
const P2M = MEMORY_BYTES
const DOORBELL = P2M + 0x2_0000
const TOTAL_BYTES = DOORBELL + 0x1_0000
const START_INFO = 0x8000
const COMMAND_LINE = 0x9000
const DEBUG_PORT = 0xe9
const EXIT_PORT = 0xf4
const BUDGET = 1_000_000
const [CS, RBX, LOAD] = [1, 3, 1]

const [elfPath, commandLine] = process.argv.slice(2) as [string, string]
const pages = TOTAL_BYTES / 65536
const machine = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
const octets = new Uint8Array(machine.buffer)
const view = new DataView(machine.buffer)

function fillP2m(): void {
  for (let gfn = 0; gfn < MEMORY_BYTES >> 12; gfn += LEAF_ENTRIES) {
    view.setUint32(P2M + (gfn >>> LEAF_SHIFT) * 4, gfn << P2M_MFN_SHIFT | P2M_RAM_RW, true)
  }
}

/** Puts the file's segments into memory; its entry point. */
function loadElf(): bigint {
  const bytes = readFileSync(elfPath)
  const file = new DataView(bytes.buffer, bytes.byteOffset)
  const table = Number(file.getBigUint64(32, true))
  for (let i = 0; i < file.getUint16(56, true); i++) {
    const header = table + i * 56
    if (file.getUint32(header, true) !== LOAD) continue
    const [offset, physical, size] = [8, 24, 32].map((field) =>
      Number(file.getBigUint64(header + field, true))) as [number, number, number]
    octets.set(bytes.subarray(offset, offset + size), physical)
  }
  return file.getBigUint64(24, true)
}

/** The state in which PVH starts. */
function startState(entry: bigint): Uint8Array {
  const bytes = new Uint8Array(CPU_CONTEXT_SIZE)
  const context = CpuContext.on(bytes.buffer, 0)
  for (let i = 0; i < 6; i++) {
    const segment = context.segments.item(i)
    segment.limit = 0xffff_ffff
    segment.attributes = i === CS ? 0xc9b : 0xc93
  }
  context.tr.limit = 0x67
  context.tr.attributes = 0x8b
  context.cr0 = 0x11n
  context.xcr0 = 1n
  context.mxcsr = 0x1f80
  context.x87Control = 0x37f
  context.pat = 0x0007_0406_0007_0406n
  context.rip = entry
  context.gpr.set(RBX, BigInt(START_INFO))
  setFlags(context, 2)
  return bytes
}

let startMicros = 0
let line = ''

function hear(byte: string): void {
  const { user, system } = process.cpuUsage()
  if (byte === 'B') startMicros = user + system
  else if (byte === 'E') line = ` ${((user + system - startMicros) / 1e6).toFixed(6)}\n`
  else if (byte === '\n') process.stdout.write(line)
  else process.stdout.write(byte)
}

fillP2m()
const entry = loadElf()
view.setBigUint64(START_INFO + 24, BigInt(COMMAND_LINE), true)
octets.set(new TextEncoder().encode(`${commandLine}\0`), COMMAND_LINE)
let random = 1
const cpu = new Cpu({
  machine, doorbell: DOORBELL, tsc: () => 0, random: () => random++ * 0x9e3779b1 >>> 0,
})
cpu.setMemory(P2M)
cpu.loadContext(startState(entry))
for (;;) {
  const kind = cpu.run(BUDGET)
  if (kind === 'out' && cpu.exit.address === EXIT_PORT) break
  if (kind === 'out' && cpu.exit.address === DEBUG_PORT) {
    hear(String.fromCharCode(Number(cpu.exit.value & 0xffn)))
  } else if (kind !== 'budget') {
    throw new Error(`the program made exit ${kind} at ${cpu.context.rip.toString(16)}`)
  }
}
