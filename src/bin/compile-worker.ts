/**
 * The compiler's thread: makes modules of the regions that cores ask for, several to a module, and
 * keeps them for later processes, from where it also loads them.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import {
  buildRegions, type CompiledRegions, type CompileRequest, type LoadedRegions, type LoadRequest,
  type PackedRegion,
} from '../cpu/jit/compiler.ts'
import { decode } from '../cpu/engine.ts'
import { encodeKept, moduleOfKept } from '../cpu/jit/kept-file.ts'
import type { CompilerStart } from './compiler-port.ts'
import { keptFilesOf } from './kept-code.ts'

/** More would keep those that are done waiting for the others. */
const REGIONS_A_MODULE = 16

const { kept } = workerData as CompilerStart

function say(line: string): void {
  parentPort?.postMessage(line)
}

const files = kept && keptFilesOf(kept, { info: say, warn: say, error: say })

function compileSome(request: CompileRequest): CompiledRegions {
  const bytes = buildRegions(request, decode)
  const module = new WebAssembly.Module(bytes)
  const shapes = request.regions.map(({ shape }) => shape)
  const name = files?.keep(encodeKept({ shapes, module: bytes }))
  return {
    module, bytes: bytes.length, numbers: request.regions.map(({ number }) => number),
    ...name === undefined ? {} : { name },
  }
}

function load({ name }: LoadRequest): LoadedRegions {
  try {
    const bytes = moduleOfKept(files!.read(name)!)
    return { name, module: new WebAssembly.Module(bytes), bytes: bytes.length }
  } catch {
    return { name, bytes: 0 }
  }
}

/** Carries out a request with all that waits behind it. */
function work(port: MessagePort, first: CompileRequest | LoadRequest): void {
  const regions: PackedRegion[] = []
  let request: CompileRequest | undefined
  for (let next: typeof first | undefined = first; next;) {
    if ('name' in next) {
      port.postMessage(load(next))
    } else {
      request = next
      regions.push(...next.regions)
    }
    next = receiveMessageOnPort(port)?.message as typeof first | undefined
  }
  if (!request) return
  for (let at = 0; at < regions.length; at += REGIONS_A_MODULE) {
    const some = regions.slice(at, at + REGIONS_A_MODULE)
    port.postMessage(compileSome({ ...request, regions: some }))
  }
}

parentPort?.on('message', (port: MessagePort) => {
  port.on('message', (request: CompileRequest | LoadRequest) => work(port, request))
})
