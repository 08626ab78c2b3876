/**
 * A small machine for the tests of this folder: an engine module with nothing but the MMU, core
 * memory, 32 MiB of machine memory, and a domain whose p2m and page tables the tests write.
 *
 * Guest frame n is machine frame n + FRAME_SHIFT; the p2m lies below.
 */
import {
  call, globalGet, i32, i64, v128, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { CoreControl, coreMap, type CoreControlView, TlbSet } from '../core-memory.ts'
import { AccessExit, GuestFault } from '../interfaces.ts'
import {
  DIRECTORY_ENTRIES, LEAF_ENTRIES, P2M_HOLE, P2M_MFN_SHIFT, P2M_RAM_RW,
} from '../p2m-format.ts'
import { CpuContext, type CpuContextView } from '../state.ts'
import { controlWord } from './environment.ts'
import { entryOf, hits, machineAddress } from './lookup.ts'
import { MmuMemory } from './linear-memory.ts'
import { microAddress, microEntry, microHit, settingEntry } from './micro-tlb.ts'
import { buildMmu, exportMmu, type MmuExports, type MmuFunctions } from './mmu.ts'

const WASM_PAGE = 0x10000
const CORE_PAGES = coreMap.end / WASM_PAGE
const MACHINE_BYTES = 32 << 20
const P2M_FRAME = 16
const LEAF_FRAME = P2M_FRAME + DIRECTORY_ENTRIES * 4 / 4096
const FRAME_SHIFT = 0x100
const GUEST_FRAMES = LEAF_ENTRIES * 8

export interface TestExports extends MmuExports {
  /** Through the inline path; -1 and -2 pass for values, see `status`. */
  inlineLoad(linear: bigint): bigint
  inlineStore(linear: bigint, value: bigint): number
  microLoad(linear: bigint): bigint
  microStore(linear: bigint, value: bigint): number
  /** Adds to 64 bits in place; 0 when done. */
  inlineAdd(linear: bigint, value: bigint): number
  /** 128 bits between memory and the start of scratch in core memory; the status. */
  loadVector(linear: bigint, flags: number): number
  storeVector(linear: bigint, flags: number): number
  /** Sums `count` loads of 64 bits, `stride` bytes apart, for measurements. */
  inlineSum(linear: bigint, stride: bigint, count: number): bigint
}

/** The functions that stand in for generated code: TLB hits inline, the rest as slow calls. */
class Inline {
  readonly #module: ModuleBuilder
  readonly #mmu: MmuFunctions

  constructor(module: ModuleBuilder, mmu: MmuFunctions) {
    this.#module = module
    this.#mmu = mmu
    this.#addLoad()
    this.#addStore()
    this.#addMicro()
    this.#addAdd()
    this.#addSum()
    this.#addVectors()
  }

  #flags(): Expression {
    return globalGet(this.#mmu.globals.access, 'i32')
  }

  #stopped(): Expression {
    return globalGet(this.#mmu.globals.status, 'i32')
  }

  /** Runs `hit` with the machine address of 64 bits, or `miss`. */
  #attempt(
    f: FunctionBuilder, linear: Local, write: boolean, hit: (machine: Expression) => void,
    miss: () => void,
  ): void {
    const { env } = this.#mmu
    const entry = f.local('i64')
    f.set(entry, entryOf(env.core, controlWord(env, 'tables'), linear, write))
    const fits = i32.leU(i32.and(i32.wrap(linear), i32.const(0xfff)), i32.const(0xff8))
    f.if(i32.and(hits(linear, entry), fits), () => hit(machineAddress(linear, entry)), miss)
  }

  #load(f: FunctionBuilder, linear: Local, into: Local): void {
    const { env, slow } = this.#mmu
    this.#attempt(f, linear, false, (machine) => {
      f.set(into, i64.load(env.machine, machine))
    }, () => f.set(into, call(slow.load[64], linear, this.#flags())))
  }

  #addLoad(): void {
    const f = this.#module.function({ parameters: ['i64'], result: 'i64' })
    const loaded = f.local('i64')
    this.#load(f, f.parameters[0]!, loaded)
    f.return(loaded)
    this.#module.exportFunction('inlineLoad', f)
  }

  #addStore(): void {
    const { env, slow } = this.#mmu
    const f = this.#module.function({ parameters: ['i64', 'i64'], result: 'i32' })
    const [linear, value] = f.parameters as [Local, Local]
    this.#attempt(f, linear, true, (machine) => {
      f.store('i64', env.machine, machine, value)
    }, () => f.return(call(slow.store[64], linear, value, this.#flags())))
    f.return(i32.const(0))
    this.#module.exportFunction('inlineStore', f)
  }

  /** Accesses that ask the micro-TLB, as those of loops in compiled code do. */
  #addMicro(): void {
    const { env, slow } = this.#mmu
    const tables = controlWord(env, 'tables')
    const [forLoads, forStores] = [microEntry(false, 8, 0), microEntry(true, 8, 0)]
    const load = this.#module.function({ parameters: ['i64'], result: 'i64' })
    const [from] = load.parameters as [Local]
    load.if(microHit(env.core, tables, forLoads, from), () => load.return(
      i64.load(env.machine, microAddress(env.core, tables, forLoads, from))))
    load.return(call(slow.load[64], from,
      i32.or(this.#flags(), i32.const(settingEntry(forLoads)))))
    this.#module.exportFunction('microLoad', load)
    const store = this.#module.function({ parameters: ['i64', 'i64'], result: 'i32' })
    const [to, value] = store.parameters as [Local, Local]
    store.if(microHit(env.core, tables, forStores, to), () => {
      store.store('i64', env.machine, microAddress(env.core, tables, forStores, to), value)
      store.return(i32.const(0))
    })
    store.return(call(slow.store[64], to, value,
      i32.or(this.#flags(), i32.const(settingEntry(forStores)))))
    this.#module.exportFunction('microStore', store)
  }

  #addAdd(): void {
    const { env, slow } = this.#mmu
    const f = this.#module.function({ parameters: ['i64', 'i64'], result: 'i32' })
    const [linear, value] = f.parameters as [Local, Local]
    const place = f.local('i64')
    const old = f.local('i64')
    f.set(place, call(slow.probeWrite, linear, i32.const(8), this.#flags()))
    f.if(this.#stopped(), () => f.return(i32.const(1)))
    f.if(i64.geS(place, i64.const(0)), () => {
      const at = i32.wrap(place)
      f.store('i64', env.machine, at, i64.add(i64.load(env.machine, at), value))
      f.return(i32.const(0))
    })
    f.set(old, call(slow.load[64], linear, this.#flags()))
    f.if(this.#stopped(), () => f.return(i32.const(1)))
    f.return(call(slow.store[64], linear, i64.add(old, value), this.#flags()))
    this.#module.exportFunction('inlineAdd', f)
  }

  #addSum(): void {
    const f = this.#module.function({ parameters: ['i64', 'i64', 'i32'], result: 'i64' })
    const [linear, stride, count] = f.parameters as [Local, Local, Local]
    const one = f.local('i64')
    const total = f.local('i64')
    f.loop((again) => {
      this.#load(f, linear, one)
      f.set(total, i64.add(total, one))
      f.set(linear, i64.add(linear, stride))
      f.set(count, i32.sub(count, i32.const(1)))
      f.brIf(again, count)
    })
    f.return(total)
    this.#module.exportFunction('inlineSum', f)
  }

  #addVectors(): void {
    const { env, slow } = this.#mmu
    const at = i32.const(coreMap.scratch)
    const load = this.#module.function({ parameters: ['i64', 'i32'], result: 'i32' })
    const [from, flags] = load.parameters as [Local, Local]
    load.store('v128', env.core, at, call(slow.load[128], from, flags))
    load.return(this.#stopped())
    this.#module.exportFunction('loadVector', load)
    const store = this.#module.function({ parameters: ['i64', 'i32'], result: 'i32' })
    const [to, rights] = store.parameters as [Local, Local]
    store.return(call(slow.store[128], to, v128.load(env.core, at), rights))
    this.#module.exportFunction('storeVector', store)
  }
}

const built = new ModuleBuilder()
const codeWritten = built.importFunction('env', 'codeWritten', { parameters: ['i32', 'i32'] })
const core = built.importMemory('env', 'core', { initialPages: CORE_PAGES })
const machine = built.importMemory('env', 'machine', {
  initialPages: MACHINE_BYTES / WASM_PAGE, maximumPages: MACHINE_BYTES / WASM_PAGE, shared: true,
})
const mmu = buildMmu(built, { core, machine, codeWritten })
exportMmu(built, mmu)
void new Inline(built, mmu)
const compiled = new WebAssembly.Module(built.finish())

export class TestMachine {
  readonly mmu: TestExports
  readonly context: CpuContextView
  readonly control: CoreControlView
  readonly machine: DataView
  /** 16 bytes at the start of scratch. */
  readonly vector: DataView
  readonly memory: MmuMemory
  readonly fault = new GuestFault()
  readonly exit = new AccessExit()
  /** Stores to code frames: machine address and size. */
  readonly codeWrites: [number, number][] = []
  readonly #core: WebAssembly.Memory
  #usedFrames = 0

  constructor() {
    const coreMemory = new WebAssembly.Memory({ initial: CORE_PAGES })
    const pages = MACHINE_BYTES / WASM_PAGE
    const machineMemory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    const instance = new WebAssembly.Instance(compiled, {
      env: {
        core: coreMemory,
        machine: machineMemory,
        codeWritten: (at: number, size: number) => this.codeWrites.push([at >>> 0, size]),
      },
    })
    this.#core = coreMemory
    this.mmu = instance.exports as unknown as TestExports
    this.context = CpuContext.on(coreMemory.buffer, coreMap.context)
    this.control = CoreControl.on(coreMemory.buffer, coreMap.control)
    this.machine = new DataView(machineMemory.buffer)
    this.vector = new DataView(coreMemory.buffer, coreMap.scratch, 16)
    this.memory = new MmuMemory(
      machineMemory, this.mmu, this.context, this.control, this.fault, this.exit)
    this.control.faultVector = -1
    this.control.p2m = P2M_FRAME << 12
    for (let block = 0; block < GUEST_FRAMES / LEAF_ENTRIES; block++) {
      this.setDirectory(block, (LEAF_FRAME << 12) + block * LEAF_ENTRIES * 4)
    }
    for (let gfn = 0; gfn < GUEST_FRAMES; gfn++) this.setP2m(gfn, P2M_RAM_RW)
    this.mmu.resetTlb()
    this.mmu.selectTables()
  }

  /** The p2m directory's word for LEAF_ENTRIES gfns. */
  setDirectory(block: number, word: number): void {
    this.machine.setUint32((P2M_FRAME << 12) + block * 4, word, true)
  }

  setP2m(gfn: number, type: number): void {
    const word = type === P2M_HOLE ? 0 : gfn + FRAME_SHIFT << P2M_MFN_SHIFT | type
    this.machine.setUint32((LEAF_FRAME << 12) + gfn * 4, word, true)
  }

  /** Entries that the sets of tables in use have logged. */
  fills(): number {
    const { userSet, supervisorSet } = this.control
    return [userSet, supervisorSet].reduce((sum, at) =>
      sum + TlbSet.on(this.#core.buffer, at).logged, 0)
  }

  /** Machine address of a guest-physical one. */
  at(physical: number): number {
    return physical + (FRAME_SHIFT << 12)
  }

  /** Lets lines of a frame hold code: all unless said otherwise. */
  markCode(machine: number, lines = -1n): void {
    new DataView(this.#core.buffer).setBigInt64(
      coreMap.codeLines + (machine >>> 12) * 8, lines, true)
    this.mmu.markCode(machine)
  }

  /** A fresh zeroed guest frame's number. */
  frame(): number {
    return ++this.#usedFrames
  }

  read64(physical: number): bigint {
    return this.machine.getBigUint64(this.at(physical), true)
  }

  write64(physical: number, value: bigint): void {
    this.machine.setBigUint64(this.at(physical), value, true)
  }

  read32(physical: number): number {
    return this.machine.getUint32(this.at(physical), true)
  }

  write32(physical: number, value: number): void {
    this.machine.setUint32(this.at(physical), value, true)
  }

  /** Maps a page in four-level tables below CR3, making tables with all permissions as needed.
   * Returns the guest-physical address of the leaf entry. */
  map(linear: bigint, entry: bigint, shift: 12 | 21 | 30 = 12): number {
    let table = Number(this.context.cr3 & 0xf_ffff_f000n)
    for (let level = 39; ; level -= 9) {
      const at = table + Number(linear >> BigInt(level) & 511n) * 8
      if (level === shift) {
        this.write64(at, entry)
        return at
      }
      if ((this.read64(at) & 1n) === 0n) this.write64(at, BigInt(this.frame() << 12) | 7n)
      table = Number(this.read64(at) & 0xf_ffff_f000n)
    }
  }

  /** Long mode at CPL 0, with NX, global pages, WP, and an empty top table. */
  longMode(): this {
    this.context.cr0 = 0x8001_0001n
    this.context.cr4 = 0xb0n
    this.context.efer = 0xd00n
    this.context.cr3 = BigInt(this.frame() << 12)
    return this
  }

  setCpl(cpl: number): void {
    this.context.cpl = cpl
    this.mmu.selectTables()
  }
}
