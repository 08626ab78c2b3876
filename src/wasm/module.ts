/**
 * Builds a binary WebAssembly module: imports, memories, globals, functions and exports.
 *
 * Functions are numbered as they are declared, imports first, so all imports must be declared
 * before the number of a function is used: by whoever calls or exports it. Bodies may be filled in
 * later and in any order.
 */
import { assert } from '../base/assert.ts'
import { Bytes } from './bytes.ts'
import { typeCodes, type ValueType } from './expression.ts'
import { FunctionBuilder } from './function.ts'

const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

export interface Signature {
  readonly parameters: readonly ValueType[]
  readonly result?: ValueType
  /** Beside `result`: FunctionBuilder.setPair takes both. */
  readonly second?: ValueType
}

/** A function that can be called: imported or built here. */
export interface FunctionReference {
  readonly index: number
  readonly result?: ValueType
}

export interface MemoryLimits {
  readonly initialPages: number
  readonly maximumPages?: number
  readonly shared?: boolean
}

export class ModuleBuilder {
  readonly #types: string[] = []
  readonly #typeBytes = new Bytes()
  readonly #imports = new Bytes()
  #importCount = 0
  #importedFunctions = 0
  #memoryCount = 0
  readonly #globals = new Bytes()
  #globalCount = 0
  #importedGlobals = 0
  readonly #exports = new Bytes()
  #exportCount = 0
  readonly #functions: { readonly type: number, readonly builder: FunctionBuilder }[] = []
  #isNumbered = false

  importFunction(module: string, name: string, signature: Signature): FunctionReference {
    assert(!this.#isNumbered, 'imports are declared before functions are numbered')
    this.#import(module, name)
    this.#imports.byte(0)
    this.#imports.u32(this.typeOf(signature))
    return reference(this.#importedFunctions++, signature.result)
  }

  /** Imports a memory and returns its index. */
  importMemory(module: string, name: string, limits: MemoryLimits): number {
    this.#import(module, name)
    this.#imports.byte(2)
    const hasMaximum = limits.maximumPages !== undefined
    this.#imports.byte((hasMaximum ? 1 : 0) | (limits.shared ? 2 : 0))
    this.#imports.u32(limits.initialPages)
    if (limits.maximumPages !== undefined) this.#imports.u32(limits.maximumPages)
    return this.#memoryCount++
  }

  /** Imports a table of functions; it is table 0. */
  importTable(module: string, name: string, initial: number): void {
    this.#import(module, name)
    this.#imports.byte(1)
    this.#imports.byte(0x70)
    this.#imports.byte(0)
    this.#imports.u32(initial)
  }

  /** Imports a mutable global and returns its index. */
  importGlobal(module: string, name: string, type: ValueType): number {
    assert(this.#globalCount === 0, 'globals are imported before others are declared')
    this.#import(module, name)
    this.#imports.byte(3)
    this.#imports.byte(typeCodes[type])
    this.#imports.byte(1)
    return this.#importedGlobals++
  }

  /** Declares a mutable global and returns its index. */
  global(type: ValueType, initial: number | bigint): number {
    this.#globals.byte(typeCodes[type])
    this.#globals.byte(1)
    if (type === 'i64') {
      this.#globals.byte(0x42)
      this.#globals.s64(BigInt(initial))
    } else {
      assert(type === 'i32', 'globals are i32 or i64')
      this.#globals.byte(0x41)
      this.#globals.s32(Number(initial))
    }
    this.#globals.byte(0x0b)
    return this.#importedGlobals + this.#globalCount++
  }

  /** Declares a function, whose body is written through the returned builder. */
  function(signature: Signature): FunctionBuilder {
    const position = this.#functions.length
    const number = (): number => {
      this.#isNumbered = true
      return this.#importedFunctions + position
    }
    const builder = new FunctionBuilder(number, signature.parameters, signature.result)
    this.#functions.push({ type: this.typeOf(signature), builder })
    return builder
  }

  exportGlobal(name: string, index: number): void {
    this.#exports.name(name)
    this.#exports.byte(3)
    this.#exports.u32(index)
    this.#exportCount += 1
  }

  exportFunction(name: string, target: FunctionReference): void {
    this.#exports.name(name)
    this.#exports.byte(0)
    this.#exports.u32(target.index)
    this.#exportCount += 1
  }

  /** The finished module. */
  finish(): Uint8Array<ArrayBuffer> {
    const out = new Bytes()
    for (const byte of MAGIC) out.byte(byte)
    section(out, 1, this.#types.length, this.#typeBytes)
    section(out, 2, this.#importCount, this.#imports)
    const declared = new Bytes()
    const bodies = new Bytes()
    const hints: Bytes[] = []
    for (const { type, builder } of this.#functions) {
      declared.u32(type)
      bodies.sized(builder.finish())
      const hinted = builder.hints()
      if (hinted) hints.push(hinted)
    }
    section(out, 3, this.#functions.length, declared)
    section(out, 6, this.#globalCount, this.#globals)
    section(out, 7, this.#exportCount, this.#exports)
    branchHints(out, hints)
    section(out, 10, this.#functions.length, bodies)
    return out.view().slice() as Uint8Array<ArrayBuffer>
  }

  #import(module: string, name: string): void {
    this.#imports.name(module)
    this.#imports.name(name)
    this.#importCount += 1
  }

  /** The number of a function type, for indirect calls. */
  typeOf(signature: Signature): number {
    const { result, second } = signature
    const results = [result, second].filter((type) => type !== undefined)
    const key = `${signature.parameters.join()}:${results.join()}`
    const known = this.#types.indexOf(key)
    if (known >= 0) return known
    const bytes = this.#typeBytes
    bytes.byte(0x60)
    bytes.u32(signature.parameters.length)
    for (const type of signature.parameters) bytes.byte(typeCodes[type])
    bytes.u32(results.length)
    for (const type of results) bytes.byte(typeCodes[type])
    return this.#types.push(key) - 1
  }
}

function reference(index: number, result: ValueType | undefined): FunctionReference {
  return result ? { index, result } : { index }
}

/** The custom section of the branch hinting proposal. */
function branchHints(out: Bytes, hints: readonly Bytes[]): void {
  if (hints.length === 0) return
  const body = new Bytes()
  body.name('metadata.code.branch_hint')
  body.u32(hints.length)
  for (const entry of hints) body.append(entry.view())
  out.byte(0)
  out.sized(body)
}

function section(out: Bytes, id: number, count: number, content: Bytes): void {
  if (count === 0) return
  const body = new Bytes()
  body.u32(count)
  body.append(content.view())
  out.byte(id)
  out.sized(body)
}
