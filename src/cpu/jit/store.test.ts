/**
 * The store of regions: it finds them by their code, and its modules are bounded.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ModuleBuilder } from '../../wasm/module.ts'
import { CODE_MODE_FLAT32, CODE_MODE_LONG } from '../core-memory.ts'
import { functionName, pageName } from './compiler.ts'
import { entryKey, type RegionShape } from './shape.ts'
import { type CodeAt, RegionStore } from './store.ts'

const PAGE = 4096
const LARGE = 3 << 20
/** Where the blocks are. */
const FIRST = 2 * PAGE + 16
const SECOND = 5 * PAGE + 32

/** A region of two blocks in neighbouring pages, to be entered at both. */
function shapeOf(seed: number, isWide = false): RegionShape {
  const shape = {
    codeMode: CODE_MODE_LONG,
    blocks: Int32Array.of(16, 3, PAGE + 32, 5), bytes: Uint8Array.of(seed, 2, 3, 4, seed),
    entries: Int32Array.of(0, 1), pages: Int32Array.of(0, 1), isWide,
  }
  const memory = memoryWith(shape)
  const keys = Int32Array.of(entryKey(memory, FIRST), entryKey(memory, SECOND))
  return { ...shape, keys }
}

function moduleOf(): WebAssembly.Module {
  const module = new ModuleBuilder()
  module.exportGlobal(pageName(0, 1), module.global('i32', 1))
  module.exportFunction(functionName(0), module.function({ parameters: [] }))
  return new WebAssembly.Module(module.finish())
}

/** Memory with the code of a shape at pages 2 and 5. */
function memoryWith({ bytes }: Pick<RegionShape, 'bytes'>): Uint8Array {
  const memory = new Uint8Array(8 * PAGE)
  memory.set(bytes.subarray(0, 3), FIRST)
  memory.set(bytes.subarray(3), SECOND)
  return memory
}

/** Region page 0 is machine page 2, and region page 1 is machine page 5. */
const pagesAround = (_page: number) => (page: number): number =>
  page === 0 ? 2 * PAGE : 5 * PAGE

function at(address: number): CodeAt {
  return { address, codeMode: CODE_MODE_LONG }
}

test('a region is found at each of its entries, where all of its code is', () => {
  const store = new RegionStore()
  const [shape, other] = [shapeOf(7), shapeOf(8)]
  store.addCompiled([other], moduleOf(), 100, undefined)
  store.addCompiled([shape], moduleOf(), 100, undefined)
  const memory = memoryWith(shape)
  assert.equal(store.find(memory, at(FIRST), pagesAround)?.region.shape, shape)
  assert.equal(store.find(memory, at(SECOND), pagesAround)?.region.shape, shape)
  assert.equal(store.find(memory, at(5 * PAGE + 33), pagesAround), undefined, 'no entry')
  const inOtherMode = { address: FIRST, codeMode: CODE_MODE_FLAT32 }
  assert.equal(store.find(memory, inOtherMode, pagesAround), undefined)
  memory[SECOND + 1] = 0
  assert.equal(store.find(memory, at(FIRST), pagesAround), undefined)
})

test('a wide region is found rather than another, or alone', () => {
  const store = new RegionStore()
  const [narrow, wide] = [shapeOf(7), shapeOf(7, true)]
  const memory = memoryWith(narrow)
  store.addCompiled([narrow], moduleOf(), 100, undefined)
  assert.equal(store.find(memory, at(FIRST), pagesAround, true), undefined)
  store.addCompiled([wide], moduleOf(), 100, undefined)
  store.addCompiled([shapeOf(7)], moduleOf(), 100, undefined)
  assert.equal(store.find(memory, at(FIRST), pagesAround)?.region.shape, wide)
  assert.equal(store.find(memory, at(SECOND), pagesAround, true)?.region.shape, wide)
})

test('a place has its pages, and a region eight places', () => {
  const store = new RegionStore()
  const shape = shapeOf(7)
  const batch = store.addCompiled([shape], moduleOf(), 100, undefined)
  const memory = memoryWith(shape)
  const places = Array.from({ length: 8 }, () => batch.place(0, {}, pagesAround(0)))
  assert.equal(new Set(places.map(({ code }) => code)).size, 8)
  assert.equal(store.find(memory, at(FIRST), pagesAround), undefined)
  places[3]!.release()
  assert.ok(store.find(memory, at(FIRST), pagesAround))
})

test('modules that nobody uses go when there are too many, the least recently used first', () => {
  const store = new RegionStore()
  const batches = [1, 2, 3].map((seed) =>
    store.addCompiled([shapeOf(seed)], moduleOf(), LARGE, seed === 2 ? 'kept' : undefined))
  assert.ok(store.isFull(LARGE))
  const placed = batches[0]!.place(0, {}, pagesAround(0))
  store.dropIdle()
  assert.deepEqual(batches.map((batch) => batch.isCompiled), [true, false, false])
  assert.equal(store.bytes, batches[0]!.bytes)
  assert.equal(store.count, 2, 'what is kept elsewhere is remembered')
  placed.release()
  store.used(batches[0]!)
  store.loaded(batches[1]!, moduleOf(), LARGE)
  store.dropIdle()
  assert.equal(store.bytes, batches[0]!.bytes)
  assert.equal(store.count, 2)
})

test('modules are bounded however small they are', () => {
  const store = new RegionStore()
  const module = moduleOf()
  let count = 0
  for (; !store.isFull(1); count++) store.addCompiled([shapeOf(count)], module, 1, undefined)
  assert.ok(count < 4096, `${count} modules`)
})

test('of modules that nobody uses those go that are kept elsewhere, and are remembered', () => {
  const store = new RegionStore()
  const batches = ['used', 'unused', undefined].map((name, i) =>
    store.addCompiled([shapeOf(i + 1)], moduleOf(), 100, name))
  batches[0]!.place(0, {}, pagesAround(0))
  store.dropKept()
  assert.deepEqual(batches.map((batch) => batch.isCompiled), [true, false, true])
  assert.equal(store.bytes, batches[0]!.bytes + batches[2]!.bytes)
  assert.equal(store.count, 3)
  const shape = shapeOf(2)
  assert.equal(store.find(memoryWith(shape), at(FIRST), pagesAround)?.region.batch, batches[1])
})
