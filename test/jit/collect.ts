/**
 * The modules of compiled regions, as they are made.
 */
import { functionName } from '../../src/cpu/jit/compiler.ts'

/** Runs something, and puts other modules in place of the regions that are compiled meanwhile. */
export function replaceRegions(
  replace: (bytes: Uint8Array) => Uint8Array, action: () => void,
): void {
  const { Module } = WebAssembly
  class Observed extends Module {
    constructor(bytes: BufferSource) {
      super(bytes)
      if (!Module.exports(this).some(({ name }) => name === functionName(0))) return
      return new Module(replace(Uint8Array.from(bytes as Uint8Array)) as BufferSource)
    }
  }
  WebAssembly.Module = Observed
  try {
    action()
  } finally {
    WebAssembly.Module = Module
  }
}

/** Runs something, and returns the bytes of the regions that were compiled meanwhile. */
export function collectRegions(action: () => void): Uint8Array[] {
  const found: Uint8Array[] = []
  replaceRegions((bytes) => {
    found.push(bytes)
    return bytes
  }, action)
  return found
}
