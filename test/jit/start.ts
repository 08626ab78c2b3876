/**
 * Programs that are written for one test, and one that several have.
 */
import { Code, R14, RAX, RBX, RCX, RDX, RSP } from './encoder.ts'
import { CODE_AT, DATA_AT, type Start, STACK_TOP } from './machine.ts'

/** A program without data. */
export function startOf(write: (code: Code) => void, isLong = true): Start {
  const code = new Code(CODE_AT, isLong)
  write(code)
  const registers = new Array<bigint>(16).fill(0n)
  registers[RSP] = BigInt(STACK_TOP)
  registers[code.register(R14)] = BigInt(DATA_AT)
  const nothing = new Uint8Array(0)
  return {
    code: code.finish(), spare: nothing, entry: CODE_AT, data: nothing, registers, vectors: [],
    flags: 0, cpl: 0, isLong,
  }
}

/** Two regions that lead to one another all the time, and then a HLT. */
export const twoRegions: Start = startOf((code) => {
  code.constant(RCX, 200)
  code.label('again')
  for (let i = 0; i < 45; i++) code.op([0x01], RCX, RBX)
  // First at the loop's end is hot what is behind the call.
  code.to('function', 4, 0xe8)
  code.op([0x01], RBX, RDX)
  code.op([0xff], 1, RCX)
  code.to('again', 4, 0x0f, 0x85)
  code.raw(0xcc)
  code.label('function')
  for (let i = 0; i < 45; i++) code.op([0x01], RCX, RAX)
  code.raw(0xc3)
})
