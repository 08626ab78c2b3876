/**
 * Makes a WebAssembly module count the calls of functions it exports, calls from inside included.
 *
 * The finished module is edited: each function that is counted gets an increment of a global of
 * its own in front of its body, and the globals are exported as `count.` and the function's name.
 */
import { joined } from '../../src/base/bytes.ts'
import { Reader } from '../../test/jit/wasm-reader.ts'

type Octets = Uint8Array<ArrayBuffer>

const SECTION_IMPORT = 2
const SECTION_GLOBAL = 6
const SECTION_EXPORT = 7
const SECTION_CODE = 10
const [KIND_FUNCTION, KIND_TABLE, KIND_MEMORY, KIND_GLOBAL] = [0, 1, 2, 3]
const I64 = 0x7e

function u32(value: number): number[] {
  const out: number[] = []
  let rest = value
  while (rest >= 0x80) {
    out.push(rest & 0x7f | 0x80)
    rest >>>= 7
  }
  return [...out, rest]
}

interface Imported {
  functions: number
  globals: number
}

function importedOf(content: Uint8Array): Imported {
  const reader = new Reader(content)
  const imported = { functions: 0, globals: 0 }
  for (let left = reader.u32(); left > 0; left--) {
    reader.take(reader.u32())
    reader.take(reader.u32())
    const kind = reader.byte()
    if (kind === KIND_FUNCTION) {
      reader.u32()
      imported.functions += 1
    } else if (kind === KIND_GLOBAL) {
      reader.take(2)
      imported.globals += 1
    } else {
      if (kind === KIND_TABLE) reader.byte()
      else if (kind !== KIND_MEMORY) throw new Error(`import of kind ${kind}`)
      const limits = reader.byte()
      reader.u32()
      if (limits & 1) reader.u32()
    }
  }
  return imported
}

function exportedFunctions(content: Uint8Array): Map<string, number> {
  const reader = new Reader(content)
  const found = new Map<string, number>()
  for (let left = reader.u32(); left > 0; left--) {
    const name = reader.name()
    const kind = reader.byte()
    const index = reader.u32()
    if (kind === KIND_FUNCTION) found.set(name, index)
  }
  return found
}

/** The count at the head of a section's content, and where its items begin. */
function headOf(content: Uint8Array): { count: number, at: number } {
  const reader = new Reader(content)
  const count = reader.u32()
  return { count, at: reader.at }
}

function extended(content: Uint8Array | undefined, items: readonly number[][]): Octets {
  const old = content ? headOf(content) : { count: 0, at: 0 }
  return Uint8Array.from(
    [...u32(old.count + items.length), ...content?.subarray(old.at) ?? [], ...items.flat()])
}

/** Puts an increment of a global in front of the bodies whose numbers `counted` has. */
function countingBodies(content: Uint8Array, counted: ReadonlyMap<number, number>): Octets {
  const reader = new Reader(content)
  const count = reader.u32()
  const parts: Uint8Array[] = [Uint8Array.from(u32(count))]
  for (let index = 0; index < count; index++) {
    const body = reader.take(reader.u32())
    const global = counted.get(index)
    if (global === undefined) {
      parts.push(Uint8Array.from(u32(body.length)), body)
      continue
    }
    const locals = new Reader(body)
    for (let groups = locals.u32(); groups > 0; groups--) {
      locals.u32()
      locals.byte()
    }
    const increment = [0x23, ...u32(global), 0x42, 1, 0x7c, 0x24, ...u32(global)]
    parts.push(
      Uint8Array.from(u32(body.length + increment.length)), body.subarray(0, locals.at),
      Uint8Array.from(increment), body.subarray(locals.at))
  }
  return joined(parts)
}

/** The module with counters for those exported functions that `wanted` accepts. */
export function countCalls(module: Octets, wanted: (name: string) => boolean): Octets {
  const sections = new Map<number, Uint8Array>()
  const reader = new Reader(module)
  const magic = reader.take(8)
  while (!reader.done) {
    const id = reader.byte()
    sections.set(id, reader.take(reader.u32()))
  }
  const imports = sections.get(SECTION_IMPORT)
  const exports = sections.get(SECTION_EXPORT)
  const code = sections.get(SECTION_CODE)
  if (!exports || !code) return module
  const imported = imports ? importedOf(imports) : { functions: 0, globals: 0 }
  const globals = sections.get(SECTION_GLOBAL)
  let nextGlobal = imported.globals + (globals ? headOf(globals).count : 0)
  const counted = new Map<number, number>()
  const newExports: number[][] = []
  const newGlobals: number[][] = []
  for (const [name, index] of exportedFunctions(exports)) {
    const position = index - imported.functions
    if (position < 0 || counted.has(position) || !wanted(name)) continue
    const encoded = new TextEncoder().encode(`count.${name}`)
    newExports.push([...u32(encoded.length), ...encoded, KIND_GLOBAL!, ...u32(nextGlobal)])
    newGlobals.push([I64, 1, 0x42, 0, 0x0b])
    counted.set(position, nextGlobal++)
  }
  sections.set(SECTION_GLOBAL, extended(globals, newGlobals))
  sections.set(SECTION_EXPORT, extended(exports, newExports))
  sections.set(SECTION_CODE, countingBodies(code, counted))
  const parts: Uint8Array[] = [magic]
  for (const id of [...sections.keys()].sort((a, b) => a - b)) {
    const content = sections.get(id)!
    parts.push(Uint8Array.from([id, ...u32(content.length)]), content)
  }
  return joined(parts)
}
