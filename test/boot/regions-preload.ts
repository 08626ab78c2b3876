/**
 * Loaded before the host process (node --import): keeps the regions that its cores compile, a file
 * each in the folder that XENOLITH_TEST_REGIONS names.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { functionName } from '../../src/cpu/jit/compiler.ts'

const { Module } = WebAssembly
const folder = process.env['XENOLITH_TEST_REGIONS']
let count = 0

WebAssembly.Module = class extends Module {
  constructor(bytes: BufferSource) {
    super(bytes)
    if (!folder || !Module.exports(this).some(({ name }) => name === functionName(0))) return
    writeFileSync(join(folder, `${process.pid}-${threadId}-${count++}.wasm`), bytes as Uint8Array)
  }
}
