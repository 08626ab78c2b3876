/**
 * Pure functions (isa/pure.ts) as generated code calls them: by number, with operands and result in
 * core memory, 16 bytes each.
 */
import { pureByNumber } from '../../isa/pure.ts'
import { coreMap } from '../core-memory.ts'

/** Calls the function of a number; `core` is the core memory. */
export function callPure(core: ArrayBuffer, number: number): void {
  const { operands, result, run } = pureByNumber(number)
  const view = new DataView(core, coreMap.scratch)
  const values: bigint[] = []
  for (let i = 0; i < operands.length; i++) {
    const low = view.getBigUint64(16 * i, true)
    values.push(operands[i] === 'v' ? low | view.getBigUint64(16 * i + 8, true) << 64n : low)
  }
  const value = run(...values)
  view.setBigUint64(0, BigInt.asUintN(64, value), true)
  if (result === 'v') view.setBigUint64(8, BigInt.asUintN(64, value >> 64n), true)
}
