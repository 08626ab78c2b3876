/**
 * What the numbers of code modes (CoreControl.codeMode) mean to the decoder and to handlers.
 */
import type { CodeMode } from '../../isa/decode/decoder.ts'
import {
  CODE_MODE_16, CODE_MODE_FLAT32, CODE_MODE_LONG, CODE_MODE_STACK32,
} from '../core-memory.ts'
import type { CodeModeShape } from './shape.ts'

const LONG: CodeMode = { long: true, defaultSize32: true }
const CODE32: CodeMode = { long: false, defaultSize32: true }
const CODE16: CodeMode = { long: false, defaultSize32: false }

/** How the decoder is to read code of a mode. */
export function codeModeOf(mode: number): CodeMode {
  switch (mode & 3) {
    case CODE_MODE_LONG: return LONG
    case CODE_MODE_16: return CODE16
    default: return CODE32
  }
}

/** Whether regions of code of a mode are compiled. */
export function hasRegions(mode: number): boolean {
  return mode === CODE_MODE_LONG || mode === CODE_MODE_FLAT32
}

/** What of a mode handlers depend on. */
export function modeShapeOf(mode: number): CodeModeShape {
  if ((mode & 3) === CODE_MODE_LONG) return { long: true, stackWidth: 64 }
  return { long: false, stackWidth: mode & CODE_MODE_STACK32 ? 32 : 16 }
}

