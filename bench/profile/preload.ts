/**
 * Loaded before a program (node --import) to count what its cores do.
 *
 * In a core's thread it wraps, from outside, the processor's `run`, the services, the functions
 * that the engine imports, and the handlers as they enter the function table; it edits the engine's
 * module so that its functions count their calls. Nothing in src/ knows of it. A few times a second
 * each thread writes its counts to a file of its own, whose name begins with what XENOLITH_PROFILE
 * says. With XENOLITH_PROFILE_MAIN the main thread is watched as well, for programs that have their
 * processor there.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { isMainThread, threadId } from 'node:worker_threads'
import { CoreControl, coreMap } from '../../src/cpu/core-memory.ts'
import { Cpu, type ExitKind } from '../../src/cpu/cpu.ts'
import { allServices } from '../../src/cpu/system/services.ts'
import { allInstructions } from '../../src/isa/instructions/all.ts'
import type { Operand } from '../../src/isa/operand.ts'
import { pureFunctions } from '../../src/isa/pure.ts'
import { ModuleBuilder } from '../../src/wasm/module.ts'
import { call, globalGet, i64 } from '../../src/wasm/expression.ts'
import { countCalls } from './count-calls.ts'
import type { Counts, Tally } from './counts.ts'

const SAMPLE_INSTRUCTIONS = Number(process.env['XENOLITH_PROFILE_EVERY'] ?? 20_000)
const WRITE_MS = 250
const USER = 3

type Table = Record<string, Tally>
type AnyFunction = (...values: never[]) => unknown

const exits: Table = {}
const services: Table = {}
const upcalls: Table = {}
const samples: Record<string, number> = {}
const counters: { readonly name: string, readonly global: WebAssembly.Global }[] = []
const handlers: { readonly name: string, readonly global: WebAssembly.Global }[] = []
let instructions = 0
let runMs = 0
let written = 0

function tally(table: Table, name: string): Tally {
  return table[name] ??= { count: 0, ms: 0 }
}

/** `target`, counted and timed as `entry`. */
function timed<F extends AnyFunction>(entry: Tally, target: F): F {
  return function (this: unknown, ...values: never[]): unknown {
    const start = performance.now()
    try {
      return target.apply(this, values)
    } finally {
      entry.count += 1
      entry.ms += performance.now() - start
    }
  } as F
}

function tableOf(list: readonly { readonly name: string, readonly global: WebAssembly.Global }[]):
  Table {
  const table: Table = {}
  for (const { name, global } of list) tally(table, name).count += Number(global.value)
  return table
}

function write(): void {
  written = performance.now()
  const path = `${process.env['XENOLITH_PROFILE']}.${threadId}`
  const { user, system } = process.threadCpuUsage()
  const counts: Counts = {
    instructions, cpuMs: (user + system) / 1000, runMs, samples, exits, services, upcalls,
    engine: tableOf(counters), handlers: tableOf(handlers),
  }
  writeFileSync(`${path}.part`, JSON.stringify(counts))
  renameSync(`${path}.part`, path)
}

// The processor's runs, cut into pieces at whose ends rip is looked at.

/** Ports, MSRs and hypercalls by number. */
function exitName(kind: ExitKind, cpu: Cpu): string {
  switch (kind) {
    case 'in': case 'out': case 'rdmsr': case 'wrmsr': case 'cpuid':
      return `${kind} ${cpu.exit.address.toString(16)}`
    case 'hypercall': return `${kind} ${cpu.context.gpr.get(0)}`
    default: return kind
  }
}

function watchRuns(): void {
  const run = Cpu.prototype.run
  Cpu.prototype.run = function (this: Cpu, budget: number): ExitKind {
    const start = performance.now()
    let left = budget
    let kind: ExitKind = 'budget'
    while (left > 0) {
      const piece = Math.min(left, SAMPLE_INSTRUCTIONS)
      const before = instructions
      kind = run.call(this, piece)
      left -= Math.max(instructions - before, 1)
      if (kind !== 'budget') break
      if (piece === SAMPLE_INSTRUCTIONS) {
        const rip = this.context.cpl === USER ? 'user' : this.context.rip.toString(16)
        samples[rip] = (samples[rip] ?? 0) + 1
      }
    }
    const now = performance.now()
    tally(exits, exitName(kind, this)).count += 1
    runMs += now - start
    const pause = kind === 'halt' ? WRITE_MS / 5 : WRITE_MS
    if (now - written > pause) write()
    return kind
  }
}

// Services, and what else the engine calls in TypeScript.

function watchServices(): void {
  const table = allServices as Record<string, AnyFunction>
  for (const [name, routine] of Object.entries(table)) {
    table[name] = timed(tally(services, name), routine)
  }
}

/** `pure`, timed by the name of the function whose number it is given. */
function timedByNumber(target: AnyFunction): AnyFunction {
  const byNumber = Object.keys(pureFunctions)
    .map((name) => timed(tally(upcalls, `pure ${name}`), target))
  return ((number: number) => byNumber[number]!(number as never)) as AnyFunction
}

function watchedImports(imports: WebAssembly.Imports | undefined): WebAssembly.Imports {
  const env = imports?.['env'] ?? {}
  const watched: WebAssembly.ModuleImports = {}
  for (const [name, value] of Object.entries(env)) {
    watched[name] = typeof value !== 'function' ? value
      : name === 'pure' ? timedByNumber(value as AnyFunction)
        : timed(tally(upcalls, name), value as AnyFunction)
  }
  return { ...imports, env: watched }
}

// Handlers, named by the definition that was read last before they were made.

let lastShape = ''

function textOf(operand: Operand): string {
  if (operand.kind !== 'memory') return `${operand.kind}${operand.width}`
  const form = operand.segment >= 4 ? 's' : ''
  return `m${operand.width}[${form}${operand.ripRelative ? 'ip' : operand.base < 0 ? '' : 'b'}${
    operand.index < 0 ? '' : 'x'}]`
}

function watchDefinitions(): void {
  for (const { name, fields } of allInstructions) {
    const { execute } = fields
    if (!execute) continue
    const changed = fields as { execute: typeof execute }
    changed.execute = function (m, ...operands) {
      lastShape = `${name} ${operands.map((operand) => textOf(operand)).join(', ')}`
      execute.call(fields, m, ...operands)
    }
  }
}

const countingModules = new Map<string, WebAssembly.Module>()

/** A function that counts and then calls `handler`. */
function counted(handler: unknown, name: string): unknown {
  const key = 'i32:i32'
  let module = countingModules.get(key)
  if (!module) {
    const builder = new ModuleBuilder()
    const target = builder.importFunction('env', 'handler', { parameters: ['i32'], result: 'i32' })
    const global = builder.global('i64', 0n)
    const f = builder.function({ parameters: ['i32'], result: 'i32' })
    f.setGlobal(global, i64.add(globalGet(global, 'i64'), i64.const(1n)))
    f.return(call(target, f.parameters[0]!))
    builder.exportFunction('handler', f)
    builder.exportGlobal('count', global)
    module = new WebAssembly.Module(builder.finish())
    countingModules.set(key, module)
  }
  const instance = new WebAssembly.Instance(module, { env: { handler: handler as AnyFunction } })
  handlers.push({ name, global: instance.exports['count'] as WebAssembly.Global })
  return instance.exports['handler']
}

/** The engine's loop, whose instructions are counted. */
function countedLoop(instance: WebAssembly.Instance, imports: WebAssembly.Imports): () => void {
  const core = imports['env']!['core'] as WebAssembly.Memory
  const control = CoreControl.on(core.buffer, coreMap.control)
  const run = instance.exports['run'] as () => void
  return () => {
    const before = control.budget
    run()
    instructions += before - control.budget
  }
}

function watchWebAssembly(): void {
  const { Module, Instance } = WebAssembly
  const engines = new WeakSet<WebAssembly.Module>()
  const watchedModule = function (bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
    const plain = new Module(bytes)
    if (!WebAssembly.Module.exports(plain).some(({ name }) => name === 'run')) return plain
    const engine = new Module(countCalls(bytes, (name) => name !== 'run'))
    engines.add(engine)
    return engine
  }
  const watchedInstance = function (
    module: WebAssembly.Module, imports?: WebAssembly.Imports,
  ): WebAssembly.Instance {
    if (!engines.has(module)) return new Instance(module, imports)
    const instance = new Instance(module, watchedImports(imports))
    for (const [name, value] of Object.entries(instance.exports)) {
      if (!name.startsWith('count.')) continue
      counters.push({ name: name.replace(/^count\.(part\.)?/, ''),
        global: value as WebAssembly.Global })
    }
    return { exports: { ...instance.exports, run: countedLoop(instance, imports!) } }
  }
  Object.setPrototypeOf(watchedModule, Module)
  Object.setPrototypeOf(watchedInstance, Instance)
  Object.assign(WebAssembly, { Module: watchedModule, Instance: watchedInstance })
  watchTables(WebAssembly.Table.prototype)
}

function watchTables(table: WebAssembly.Table): void {
  const { grow, set } = table
  table.grow = function (delta: number, value?: unknown): number {
    return value === undefined ? grow.call(this, delta)
      : grow.call(this, delta, counted(value, lastShape))
  }
  table.set = function (index: number, value?: unknown): void {
    set.call(this, index, value ? counted(value, lastShape) : value)
  }
}

const isWatched = !isMainThread || process.env['XENOLITH_PROFILE_MAIN'] !== undefined
if (isWatched && process.env['XENOLITH_PROFILE']) {
  watchDefinitions()
  watchServices()
  watchRuns()
  watchWebAssembly()
  // Other threads, as the compiler's, run no guest.
  process.on('exit', () => void (runMs > 0 && write()))
}
