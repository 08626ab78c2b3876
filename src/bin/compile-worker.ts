/**
 * The compiler's thread: makes modules of the regions that cores ask for, several to a module.
 *
 * Each core has a port of its own, because a module is made for one core: its code knows the core's
 * doorbell.
 */
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import {
  type CompileRequest, compileRegions, type PackedRegion,
} from '../cpu/jit/compiler.ts'
import { decode } from '../cpu/engine.ts'
import type { CompilerStart } from './compiler-port.ts'

/** More would keep those that are done waiting for the others. */
const REGIONS_A_MODULE = 16

/** What waits at a port, beginning with `request`. */
function waitingAt(port: MessagePort, request: CompileRequest): CompileRequest {
  const regions = [...request.regions]
  for (;;) {
    const next = receiveMessageOnPort(port)
    if (!next) return { ...request, regions }
    regions.push(...(next.message as CompileRequest).regions)
  }
}

function compile(port: MessagePort, request: CompileRequest): void {
  const { regions } = waitingAt(port, request)
  for (let first = 0; first < regions.length; first += REGIONS_A_MODULE) {
    const some: PackedRegion[] = regions.slice(first, first + REGIONS_A_MODULE)
    port.postMessage(compileRegions({ ...request, regions: some }, decode))
  }
}

for (const port of (workerData as CompilerStart).ports) {
  port.on('message', (request: CompileRequest) => compile(port, request))
}
