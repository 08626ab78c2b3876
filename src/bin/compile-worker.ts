/**
 * The compiler's thread: makes modules of the regions that cores ask for, several to a module, and
 * keeps them for later processes, from where it also loads them. What one core asked for is news
 * for the others. It ends when nobody has asked for some time.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { decode } from '../cpu/engine.ts'
import {
  buildRegions, type CompileRequest, type LoadedRegions, type LoadRequest, type PackedRegion,
} from '../cpu/jit/compiler.ts'
import { encodeKept, moduleOfKept } from '../cpu/jit/kept-file.ts'
import {
  closeCompiler, CompilerDesk, type CompilerNews, type CompilerOrder, type CompilerStart,
  type Letters, sendWithPort,
} from './compiler-port.ts'
import { keptFilesOf } from './kept-code.ts'

/** More would keep those that are done waiting for the others. */
const REGIONS_A_MODULE = 16

assert(parentPort, 'the compiler is a worker')
const control = parentPort
const { idleMs, kept, state } = workerData as CompilerStart
const files = kept && keptFilesOf(kept, { info: say, warn: say, error: say })
/** Of each core's thread that runs. */
const desks = new Set<CompilerDesk>()

function tell(news: CompilerNews): void {
  control.postMessage(news)
}

function say(line: string): void {
  tell({ kind: 'log', line })
}

function compileSome(desk: CompilerDesk, request: CompileRequest): void {
  const wasm = buildRegions(request, decode)
  const shapes = request.regions.map(({ shape }) => shape)
  const name = files?.keep(encodeKept({ shapes, module: wasm }))
  const compiled = {
    module: new WebAssembly.Module(wasm), bytes: wasm.length,
    ...name === undefined ? {} : { name },
  }
  const numbers = request.regions.map(({ number }) => number)
  desk.answer({ kind: 'compiled', ...compiled, numbers })
  for (const other of desks) if (other !== desk) other.tell({ kind: 'shared', ...compiled, shapes })
}

function load({ name }: LoadRequest): LoadedRegions {
  const kind = 'loaded'
  try {
    const bytes = moduleOfKept(files!.read(name)!)
    return { kind, name, module: new WebAssembly.Module(bytes), bytes: bytes.length }
  } catch {
    return { kind, name, bytes: 0 }
  }
}

let idle = timeIdleness()

function timeIdleness(): NodeJS.Timeout {
  return setTimeout(() => tell({ kind: 'idle' }), idleMs)
}

/** Carries out a request with all that waits behind it. */
function work(desk: CompilerDesk, first: CompileRequest | LoadRequest): void {
  clearTimeout(idle)
  idle = timeIdleness()
  const regions: PackedRegion[] = []
  let request: CompileRequest | undefined
  for (let next: typeof first | undefined = first; next; next = desk.receive()) {
    if ('name' in next) {
      desk.answer(load(next))
    } else {
      request = next
      regions.push(...next.regions)
    }
  }
  if (!request) return
  for (let at = 0; at < regions.length; at += REGIONS_A_MODULE) {
    compileSome(desk, { ...request, regions: regions.slice(at, at + REGIONS_A_MODULE) })
  }
}

function serve(letters: Letters): void {
  const desk = new CompilerDesk(letters)
  desks.add(desk)
  letters.port.on('message', (request: CompileRequest | LoadRequest) => work(desk, request))
  letters.port.on('close', () => desks.delete(desk))
}

/** Gives the ports back, with what is asked from now on. */
function end(): void {
  closeCompiler(state)
  for (const desk of desks) {
    const request = desk.receive()
    if (request) work(desk, request)
  }
  clearTimeout(idle)
  for (const { letters } of desks) {
    sendWithPort(control, { kind: 'gives back', letters } satisfies CompilerNews)
  }
  tell({ kind: 'ends' })
  control.close()
}

control.on('message', (order: CompilerOrder) => {
  if (order.kind === 'serve') serve(order.letters)
  else end()
})
