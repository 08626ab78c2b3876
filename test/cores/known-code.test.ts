/**
 * A core that decodes code and enters a region that was compiled for another, while the code is
 * written to: at each access to what is shared, all that the writer has to do comes between.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atEachAccess } from '../../src/base/shared/interleaving.ts'
import { CODE_MODE_LONG, CoreControl, coreMap } from '../../src/cpu/core-memory.ts'
import { CodeCache } from '../../src/cpu/interpreter/code-cache.ts'
import { field } from '../../src/cpu/interpreter/record.ts'
import {
  type CompilerAnswer, functionName, pageName, type RegionCompiler,
} from '../../src/cpu/jit/compiler.ts'
import { Jit } from '../../src/cpu/jit/jit.ts'
import { entryKey } from '../../src/cpu/jit/shape.ts'
import { codeUse } from '../../src/cpu/mmu/frame-uses.ts'
import { TestMachine } from '../../src/hypervisor/events/test-machine.ts'
import { makeDecoder } from '../../src/isa/decode/decoder.ts'
import { allInstructions } from '../../src/isa/instructions/all.ts'
import { ModuleBuilder } from '../../src/wasm/module.ts'

const PAGE = 4096
const LINEAR = 0x40_0000n
const HEAT_LIMIT = 100
/** MOV EAX, n; RET. */
const code = (n: number): number[] => [0xb8, n, 0, 0, 0, 0xc3]
const SIZE = code(0).length
const decode = makeDecoder(allInstructions)

function regionModule(): WebAssembly.Module {
  const module = new ModuleBuilder()
  module.exportGlobal(pageName(0, 1), module.global('i32', 1))
  module.exportFunction(functionName(0), module.function({ parameters: [] }))
  return new WebAssembly.Module(module.finish())
}
const MODULE = regionModule()

/** Core 0, two pages with the code of a region, of which it is to decode the first, and the news
 * of that region. */
class Code {
  readonly m = new TestMachine(2)
  readonly #host = this.m.host
  readonly #memory = new Uint8Array(this.#host.machine.buffer)
  readonly #core = new ArrayBuffer(coreMap.end)
  readonly #table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 })
  readonly #news: CompilerAnswer[] = []
  readonly #guest = this.m.guest()
  readonly #pages = [0, 1].map((page) => this.m.at(this.#guest, page * PAGE))
  readonly #cache: CodeCache
  readonly #jit: Jit
  /** Notes that were read. */
  #notes = this.#host.frameUses.count

  constructor() {
    const control = CoreControl.on(this.#core, coreMap.control)
    control.codeMode = CODE_MODE_LONG
    control.codePage = LINEAR
    control.codeMachinePage = this.#pages[0]!
    for (const page of this.#pages) this.#memory.set(code(1), page)
    const shared = { core: this.#core, machine: this.#memory }
    this.#cache = new CodeCache({
      ...shared, handlerOf: () => 100, pairUp: () => {}, execTranslate: () => -1,
      linear: () => LINEAR,
      decode: (...place) => {
        this.#look()
        return decode(...place)
      },
      markCode: (machine) => this.#use(machine, true),
      clearCode: (machine) => this.#use(machine, false),
      found: (machine, record) => this.#jit.found(machine, record),
      invalidated: (page, lines) => this.#jit.invalidate(page, lines),
      addLines: (page, lines) => this.#jit.addLines(page, lines),
      flushed: () => this.#jit.flushed(),
    })
    const compiler: RegionCompiler = {
      works: true, request: () => {}, load: () => {}, take: () => this.#news.shift(),
    }
    this.#jit = new Jit({
      ...shared, control, code: this.#cache, decode, compiler,
      sizes: { corePages: 1, machinePages: 1 }, table: this.#table, imports: {},
      heatLimit: HEAT_LIMIT, busyLimit: HEAT_LIMIT,
      translate: (linear) => this.#pages[Number(linear - LINEAR) / PAGE] ?? -1,
    })
    this.#news.push({ kind: 'shared', module: MODULE, bytes: 100, shapes: [{
      codeMode: CODE_MODE_LONG,
      blocks: Int32Array.of(0, SIZE, PAGE, SIZE * 2),
      bytes: Uint8Array.from([...code(1), ...code(1)]),
      entries: Int32Array.of(0), keys: Int32Array.of(entryKey(this.#memory, this.#pages[0]!)),
      pages: Int32Array.of(0, 1), isWide: false,
    }] })
  }

  /** The other thread may come here. */
  #look(): void {
    Atomics.load(this.#host.machine.cells, 0)
  }

  /** As processors set and clear their bits. */
  #use(machine: number, set: boolean): void {
    const word = (this.#host.state.frameUses >>> 2) + (machine >>> 12)
    const { cells } = this.#host.machine
    if (set) Atomics.or(cells, word, codeUse(0))
    else Atomics.and(cells, word, ~codeUse(0))
    this.#look()
  }

  readonly takeNews = (): void => this.#jit.poll()

  readonly decodeFirst = (): void => void this.#cache.decode(this.#pages[0]!)

  readonly becomeHot = (): void =>
    this.#jit.hot(this.#cache.recordAt(this.#pages[0]!, CODE_MODE_LONG))

  /** The control domain writes to one of the pages. */
  rewrite(page: number): void {
    this.#memory.set(code(2), this.#pages[page])
    this.#host.frameUses.written(this.#pages[page]! / PAGE)
  }

  get isEntered(): boolean {
    return Array.from({ length: this.#table.length }, (_, i) => this.#table.get(i))
      .some((region) => region !== null)
  }

  /** The core reads the notes, as it does before it enters a guest. */
  readNotes(): void {
    const forgetful = {
      forgetCode: (machine: number) => this.#cache.invalidate(machine),
      flushCode: () => this.#cache.flush(), forgetStores: () => false,
    }
    this.#notes = this.#host.frameUses.read(this.#notes, 0, forgetful)
  }

  /** The operand of the first page's MOV as it was decoded; undefined when it is not. */
  get decoded(): number | undefined {
    const record = this.#cache.recordAt(this.#pages[0]!, CODE_MODE_LONG)
    return record === 0 ? undefined
      : new DataView(this.#core).getUint8(record + field.immediate)
  }
}

test('a region that was compiled for another core is entered where its code is', () => {
  const code = new Code()
  code.takeNews()
  code.decodeFirst()
  code.readNotes()
  assert.ok(code.isEntered)
  code.rewrite(1)
  code.readNotes()
  assert.equal(code.isEntered, false)
  code.rewrite(0)
  code.readNotes()
  assert.equal(code.decoded, undefined)
})

/** What the core does, in the order in which it may. */
const works: readonly (readonly [string, (code: Code) => void])[] = [
  ['takes news and decodes', (code) => {
    code.takeNews()
    code.decodeFirst()
  }],
  ['decodes, takes news and finds the code hot', (code) => {
    code.decodeFirst()
    code.takeNews()
    code.becomeHot()
  }],
]

for (const [name, work] of works) {
  for (const page of [0, 1]) {
    test(`a core ${name} while page ${page} of the code is written to`, () => {
      const count = atEachAccess(() => {
        const code = new Code()
        return {
          work: () => work(code),
          other: () => code.rewrite(page),
          check: () => {
            code.readNotes()
            assert.equal(code.isEntered, false)
            if (page === 0) assert.notEqual(code.decoded, 1)
          },
        }
      })
      assert.ok(count > 4, `${count} accesses`)
    })
  }
}
