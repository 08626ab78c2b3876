/**
 * Functions as text: an instruction a line, indented by how deep it is nested. Calls name what is
 * imported, and number the module's own functions from 0.
 */
import { isMemoryAccess, SIMD, type WasmFunction, type WasmModule } from './wasm-reader.ts'

const named: Readonly<Record<number, string>> = {
  0x00: 'unreachable', 0x01: 'nop', 0x02: 'block', 0x03: 'loop', 0x04: 'if', 0x05: 'else',
  0x0b: 'end', 0x0c: 'br', 0x0d: 'br_if', 0x0e: 'br_table', 0x0f: 'return', 0x10: 'call',
  0x11: 'call_indirect', 0x12: 'return_call', 0x1a: 'drop', 0x1b: 'select', 0x20: 'local.get',
  0x21: 'local.set', 0x22: 'local.tee', 0x23: 'global.get', 0x24: 'global.set',
  0x41: 'i32.const', 0x42: 'i64.const', 0x43: 'f32.const', 0x44: 'f64.const',
}

const comparisons = ['eq', 'ne', 'lt_s', 'lt_u', 'gt_s', 'gt_u', 'le_s', 'le_u', 'ge_s', 'ge_u']
const integers = [
  'clz', 'ctz', 'popcnt', 'add', 'sub', 'mul', 'div_s', 'div_u', 'rem_s', 'rem_u', 'and', 'or',
  'xor', 'shl', 'shr_s', 'shr_u', 'rotl', 'rotr',
]
const floats = [
  'abs', 'neg', 'ceil', 'floor', 'trunc', 'nearest', 'sqrt', 'add', 'sub', 'mul', 'div', 'min',
  'max', 'copysign',
]
const floatComparisons = ['eq', 'ne', 'lt', 'gt', 'le', 'ge']
/** Opcodes in a row, from the first. */
const rows: readonly (readonly [number, readonly string[]])[] = [
  [0x28, ['i32.load', 'i64.load', 'f32.load', 'f64.load', 'i32.load8_s', 'i32.load8_u',
    'i32.load16_s', 'i32.load16_u', 'i64.load8_s', 'i64.load8_u', 'i64.load16_s', 'i64.load16_u',
    'i64.load32_s', 'i64.load32_u', 'i32.store', 'i64.store', 'f32.store', 'f64.store',
    'i32.store8', 'i32.store16', 'i64.store8', 'i64.store16', 'i64.store32']],
  [0x45, ['eqz', ...comparisons].map((name) => `i32.${name}`)],
  [0x50, ['eqz', ...comparisons].map((name) => `i64.${name}`)],
  [0x5b, floatComparisons.map((name) => `f32.${name}`)],
  [0x61, floatComparisons.map((name) => `f64.${name}`)],
  [0x67, integers.map((name) => `i32.${name}`)],
  [0x79, integers.map((name) => `i64.${name}`)],
  [0x8b, floats.map((name) => `f32.${name}`)],
  [0x99, floats.map((name) => `f64.${name}`)],
  [0xa7, ['i32.wrap_i64']],
  [0xac, ['i64.extend_i32_s', 'i64.extend_i32_u']],
  [0xbc, ['i32.reinterpret_f32', 'i64.reinterpret_f64', 'f32.reinterpret_i32',
    'f64.reinterpret_i64', 'i32.extend8_s', 'i32.extend16_s', 'i64.extend8_s', 'i64.extend16_s',
    'i64.extend32_s']],
]

function isCall(opcode: number): boolean {
  return opcode === 0x10 || opcode === 0x12
}

/** A name, or the number where there is none. */
function nameOf(opcode: number): string {
  const name = named[opcode]
  if (name) return name
  for (const [first, names] of rows) {
    const found = names[opcode - first]
    if (opcode >= first && found) return found
  }
  return opcode >= SIMD ? `0x${opcode.toString(16)}` : `0x${opcode.toString(16).padStart(2, '0')}`
}

function calleeOf({ imports }: Pick<WasmModule, 'imports'>, index: number): string | number {
  return imports[index]?.name ?? index - imports.length
}

export function textOf(
  { instructions }: WasmFunction, module: Pick<WasmModule, 'imports'>,
): string {
  let depth = 1
  const lines = instructions.map((instruction) => {
    const { opcode, immediates, memory, offset } = instruction
    if (opcode === 0x0b || opcode === 0x05) depth -= 1
    const indent = '  '.repeat(Math.max(depth, 0))
    if (opcode >= 0x02 && opcode <= 0x05) depth += 1
    const operands = isMemoryAccess(opcode)
      ? [memory === 0 ? 'core' : 'machine', ...offset ? [`+${offset}`] : []]
      : opcode >= 0x02 && opcode <= 0x04 ? []
        : isCall(opcode) ? [calleeOf(module, Number(immediates[0]))] : immediates
    return `${indent}${[nameOf(opcode), ...operands].join(' ')}\n`
  })
  return lines.join('')
}
