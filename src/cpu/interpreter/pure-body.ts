/**
 * What a pure function of isa/pure.ts looks like in WebAssembly, where it has a body there beside
 * its definition in TypeScript.
 */
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'

/** Fills a function () -> i32, which takes operands from slots and leaves its result in slot 0: it
 * returns 1, or 0 with the slots as they were where TypeScript shall do it. */
export type PureBody = (f: FunctionBuilder, module: ModuleBuilder) => void

/** Address in core memory of an operand, 16 bytes each. */
export const slot = (index: number): number => coreMap.scratch + 16 * index
