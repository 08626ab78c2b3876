/**
 * Loops as compilers write them, for the counts of what becomes of them. RCX counts down; RSI and
 * RDI are where data come from and go to, R14 where they begin.
 */
import { PAGE_BYTES } from '../../src/cpu/jit/region.ts'
import { Code, R14, R15, RAX, RBX, RCX, RDI, RDX, RSI, RSP } from './encoder.ts'
import { CODE_AT, DATA_AT, DATA_PAGES, type Start, STACK_TOP } from './machine.ts'

const ROUNDS = 2000
const RBP = 5
const WIDE = { width: 64 } as const
const BYTE = { width: 8 } as const

function countDown(code: Code): void {
  code.op([0xff], 1, RCX, WIDE) // dec rcx
  code.to('again', 4, 0x0f, 0x85)
}

/** Calls what stands behind, again and again. */
function callAgain(code: Code, between = 1): void {
  code.label('again')
  code.to('function', 4, 0xe8)
  countDown(code)
  code.raw(...new Array<number>(between).fill(0xcc))
  code.label('function')
}

function add(code: Code, register: number, value: number): void {
  code.op([0x83], 0, register, WIDE)
  code.raw(value)
}

/** Has MXCSR say that some result was inexact, as it soon does in programs. */
function settle(code: Code): void {
  code.op([0xc7], 0, { base: RDI, displacement: 0 })
  code.raw(0xa0, 0x1f, 0, 0)
  code.op([0x0f, 0xae], 2, { base: RDI, displacement: 0 }) // ldmxcsr
}

/** Each writes what comes before a loop, the label `again`, and the loop. */
const loops: Readonly<Record<string, (code: Code) => void>> = {
  'sum of an array': (code) => {
    code.label('again')
    code.op([0x03], RAX, { base: RSI, displacement: 0 }, WIDE)
    add(code, RSI, 8)
    countDown(code)
  },
  'copy by bytes': (code) => {
    code.label('again')
    code.op([0x0f, 0xb6], RAX, { base: RSI, displacement: 0 })
    code.op([0x88], RAX, { base: RDI, displacement: 0 }, BYTE)
    add(code, RSI, 1)
    add(code, RDI, 1)
    countDown(code)
  },
  'copy by words': (code) => {
    code.label('again')
    code.op([0x8b], RAX, { base: RSI, index: RCX, scale: 3, displacement: -8 }, WIDE)
    code.op([0x89], RAX, { base: RDI, index: RCX, scale: 3, displacement: -8 }, WIDE)
    countDown(code)
  },
  'compare by bytes': (code) => {
    code.label('again')
    code.op([0x0f, 0xb6], RAX, { base: R14, index: RCX, displacement: 0 })
    code.op([0x3a], RAX, { base: R14, index: RCX, displacement: 0 }, BYTE)
    code.to('end', 4, 0x0f, 0x85)
    countDown(code)
  },
  'sieve': (code) => {
    code.op([0x31], RBX, RBX)
    code.constant(RDX, 3)
    code.constant(RCX, 3 * ROUNDS)
    code.label('again')
    code.op([0xc6], 0, { base: R14, index: RBX, displacement: 0 })
    code.raw(1)
    code.op([0x01], RDX, RBX, WIDE)
    code.op([0x39], RCX, RBX, WIDE) // cmp rbx, rcx
    code.to('again', 4, 0x0f, 0x82)
  },
  'hash of bytes': (code) => {
    code.label('again')
    code.op([0x0f, 0xb6], RAX, { base: RSI, displacement: 0 })
    code.op([0x31], RAX, RDX)
    code.op([0x69], RDX, RDX)
    code.le(16777619, 4)
    add(code, RSI, 1)
    countDown(code)
  },
  'linked list': (code) => {
    code.op([0x89], R14, { base: R14, displacement: 0 }, WIDE)
    code.op([0x89], R14, RAX, WIDE)
    code.label('again')
    code.op([0x8b], RAX, { base: RAX, displacement: 0 }, WIDE)
    countDown(code)
  },
  'call and return': (code) => {
    callAgain(code)
    add(code, RAX, 1)
    code.raw(0xc3)
  },
  'call into another page': (code) => {
    callAgain(code, PAGE_BYTES)
    add(code, RAX, 1)
    code.raw(0xc3)
  },
  'frame of a function': (code) => {
    callAgain(code)
    code.raw(0x55) // push rbp
    code.op([0x89], RSP, RBP, WIDE)
    code.op([0x83], 5, RSP, WIDE)
    code.raw(32)
    code.op([0x89], RDI, { base: RBP, displacement: -8 }, WIDE)
    code.op([0x89], RCX, { base: RBP, displacement: -16 }, WIDE)
    code.op([0x8b], RAX, { base: RBP, displacement: -8 }, WIDE)
    code.op([0x03], RAX, { base: RBP, displacement: -16 }, WIDE)
    code.raw(0xc9, 0xc3) // leave; ret
  },
  'call of another region': (code) => {
    callAgain(code)
    code.raw(0x53) // push rbx
    // More than is compiled along with its caller.
    for (let i = 0; i < 42; i++) add(code, [RAX, RBX, RDX, RSI][i % 4]!, i)
    code.raw(0x5b, 0xc3) // pop rbx; ret
  },
  'switch by a table': (code) => {
    for (let i = 0; i < 4; i++) {
      code.address(RAX, `case ${i}`)
      code.op([0x89], RAX, { base: R14, displacement: i * 8 }, WIDE)
    }
    code.label('again')
    code.op([0x89], RCX, RAX)
    code.op([0x83], 4, RAX)
    code.raw(3)
    code.op([0xff], 4, { base: R14, index: RAX, scale: 3, displacement: 0 })
    for (let i = 0; i < 4; i++) {
      code.label(`case ${i}`)
      add(code, RBX, i + 1)
      if (i < 3) code.to('next', 4, 0xe9)
    }
    code.label('next')
    countDown(code)
  },
  'calls by a table': (code) => {
    for (let i = 0; i < 8; i++) {
      code.address(RAX, `function ${i}`)
      code.op([0x89], RAX, { base: R14, displacement: i * 8 }, WIDE)
    }
    code.label('again')
    code.op([0x89], RCX, RAX)
    code.op([0x83], 4, RAX)
    code.raw(7)
    code.op([0xff], 2, { base: R14, index: RAX, scale: 3, displacement: 0 })
    countDown(code)
    code.raw(0xcc)
    for (let i = 0; i < 8; i++) {
      code.label(`function ${i}`)
      add(code, RBX, i + 1)
      code.raw(0xc3)
    }
  },
  '64-bit arithmetic': (code) => {
    code.label('again')
    code.op([0x01], RDX, RAX, WIDE)
    code.op([0x31], RAX, RBX, WIDE)
    code.op([0xc1], 4, RAX, WIDE) // shl
    code.raw(7)
    code.op([0xc1], 1, RBX, WIDE) // ror
    code.raw(13)
    code.op([0x0f, 0xaf], RDX, RBX, WIDE)
    code.op([0x29], RCX, RDX, WIDE)
    code.op([0x8d], RAX, { base: RAX, index: RDX, scale: 2, displacement: 5 }, WIDE)
    countDown(code)
  },
  '32-bit arithmetic': (code) => {
    code.label('again')
    code.op([0x01], RDX, RAX)
    code.op([0x31], RAX, RBX)
    code.op([0xc1], 4, RAX)
    code.raw(7)
    code.op([0xc1], 1, RBX)
    code.raw(13)
    code.op([0x0f, 0xaf], RDX, RBX)
    code.op([0x29], RCX, RDX)
    code.op([0x8d], RAX, { base: RAX, index: RDX, scale: 2, displacement: 5 })
    countDown(code)
  },
  'flags of bytes': (code) => {
    code.label('again')
    code.op([0x38], RBX, RAX, BYTE) // cmp al, bl
    code.op([0x0f, 0x92], 0, RDX, BYTE) // setb dl
    code.op([0x0f, 0x9f], 0, 6, BYTE) // setg dh
    code.op([0x00], RDX, RAX, BYTE)
    code.op([0x10], 6, RBX, BYTE) // adc bl, dh
    countDown(code)
  },
  'sum with carry': (code) => {
    code.raw(0xf8) // clc
    code.label('again')
    code.op([0x8b], RAX, { base: RSI, index: RCX, scale: 3, displacement: -8 }, WIDE)
    code.op([0x11], RAX, { base: RDI, index: RCX, scale: 3, displacement: -8 }, WIDE)
    countDown(code)
  },
  'choice without branches': (code) => {
    code.label('again')
    code.op([0x39], RBX, RAX)
    code.op([0x0f, 0x4c], RAX, RBX) // cmovl eax, ebx
    code.op([0x6b], RBX, RBX)
    code.raw(17)
    countDown(code)
  },
  'double arithmetic': (code) => {
    settle(code)
    code.label('again')
    code.op([0x0f, 0x10], 0, { base: RSI, displacement: 0 }, { mandatory: 0xf2 })
    code.op([0x0f, 0x59], 0, 1, { mandatory: 0xf2 })
    code.op([0x0f, 0x58], 2, 0, { mandatory: 0xf2 })
    add(code, RSI, 8)
    countDown(code)
  },
  'doubles in registers': (code) => {
    settle(code)
    code.label('again')
    code.raw(0x66, 0x0f, 0x28, 0xc1) // movapd xmm0, xmm1
    code.op([0x0f, 0x59], 0, 0, { mandatory: 0xf2 }) // mulsd
    code.op([0x0f, 0x58], 2, 0, { mandatory: 0xf2 }) // addsd
    code.op([0x0f, 0x2f], 2, 1, { mandatory: 0x66 }) // comisd
    code.to('end', 4, 0x0f, 0x82)
    countDown(code)
  },
  'pairs of doubles': (code) => {
    settle(code)
    code.label('again')
    code.raw(0x66, 0x0f, 0x28, 0xc1) // movapd xmm0, xmm1
    code.op([0x0f, 0x59], 0, 3, { mandatory: 0x66 }) // mulpd
    code.op([0x0f, 0x58], 2, 0, { mandatory: 0x66 }) // addpd
    countDown(code)
  },
  'packed bytes': (code) => {
    code.constant(RCX, ROUNDS / 2)
    code.label('again')
    code.op([0x0f, 0x6f], 0, { base: RSI, displacement: 0 }, { mandatory: 0x66 })
    code.op([0x0f, 0xfc], 0, 1, { mandatory: 0x66 }) // paddb
    code.op([0x0f, 0xef], 2, 0, { mandatory: 0x66 }) // pxor
    code.op([0x0f, 0x7f], 2, { base: RDI, displacement: 0 }, { mandatory: 0x66 })
    add(code, RSI, 16)
    add(code, RDI, 16)
    countDown(code)
  },
  'locked count': (code) => {
    code.label('again')
    code.op([0x0f, 0xc1], RAX, { base: R14, displacement: 0 }, { width: 64, lock: true })
    countDown(code)
  },
}

export const loopNames = Object.keys(loops)

/** A loop as a program. */
export function loopOf(name: string): Start {
  const code = new Code(CODE_AT)
  code.constant(RCX, ROUNDS)
  loops[name]!(code)
  code.label('end')
  code.raw(0xcc)
  const registers = Array.from({ length: 16 }, (_, i) => BigInt(i + 1))
  registers[RSP] = BigInt(STACK_TOP)
  registers[RSI] = BigInt(DATA_AT)
  registers[RDI] = BigInt(DATA_AT + DATA_PAGES * 2048)
  registers[R14] = BigInt(DATA_AT)
  registers[R15] = 0n
  const one = 0x3ff0_0000_0000_0000n
  return {
    code: code.finish(), spare: new Uint8Array(0), entry: CODE_AT, data: new Uint8Array(0),
    registers, vectors: new Array<bigint>(32).fill(one), flags: 0, cpl: 0,
  }
}
