/**
 * The x87 instructions and EMMS (AMD APM 5; Intel SDM 2, appendix A.5). What they do is in
 * x87/, by the same names; x87-stack.ts brings their operands.
 *
 * `F0` is ST, `Fi` the register that ModRM names. Aliases that no manual lists, but every processor
 * executes, are rows like others.
 */
import { define, row, type Definition, type Row } from '../definition.ts'
import { comparingFlags, loadControl, onStack, storeWord } from './x87-stack.ts'

function x87(name: string, ...encodings: Row[]): Definition {
  return onStack(name, encodings.map((r) => r.cpuid('fpu')))
}

/** What only services can do: much memory, or nothing on the stack. */
function byService(name: string, ...encodings: Row[]): Definition {
  return define(name, { encodings: encodings.map((r) => r.cpuid('fpu')), service: true })
}

/** FADD and its like: memory of two sizes by `digit`, registers both ways. */
function basic(name: string, digit: number, forward: string, backward: string): Definition {
  return x87(name,
    row(`d8 /${digit} m`, 'Md'), row(`dc /${digit} m`, 'Mq'),
    row(`d8 ${forward}+r`, 'F0', 'Fi'), row(`dc ${backward}+r`, 'Fi', 'F0'))
}

const popping = (name: string, opcode: string) => x87(name, row(`de ${opcode}+r`, 'Fi', 'F0'))

const withInteger = (name: string, digit: number) =>
  x87(name, row(`da /${digit} m`, 'Md'), row(`de /${digit} m`, 'Mw'))

const withTop = (name: string, opcode: string) => x87(name, row(opcode, 'F0', 'Fi'))

const alone = (name: string, opcode: string) => x87(name, row(opcode))

const arithmetic: readonly Definition[] = [
  basic('fadd', 0, 'c0', 'c0'), basic('fmul', 1, 'c8', 'c8'),
  basic('fsub', 4, 'e0', 'e8'), basic('fsubr', 5, 'e8', 'e0'),
  basic('fdiv', 6, 'f0', 'f8'), basic('fdivr', 7, 'f8', 'f0'),
  popping('faddp', 'c0'), popping('fmulp', 'c8'), popping('fsubrp', 'e0'),
  popping('fsubp', 'e8'), popping('fdivrp', 'f0'), popping('fdivp', 'f8'),
  withInteger('fiadd', 0), withInteger('fimul', 1), withInteger('ficom', 2),
  withInteger('ficomp', 3), withInteger('fisub', 4), withInteger('fisubr', 5),
  withInteger('fidiv', 6), withInteger('fidivr', 7),
]

const comparisons: readonly Definition[] = [
  x87('fcom', row('d8 /2 m', 'Md'), row('dc /2 m', 'Mq'),
    row('d8 d0+r', 'F0', 'Fi'), row('dc d0+r', 'F0', 'Fi')),
  x87('fcomp', row('d8 /3 m', 'Md'), row('dc /3 m', 'Mq'),
    row('d8 d8+r', 'F0', 'Fi'), row('dc d8+r', 'F0', 'Fi'), row('de d0+r', 'F0', 'Fi')),
  alone('fcompp', 'de d9'), alone('fucompp', 'da e9'),
  withTop('fucom', 'dd e0+r'), withTop('fucomp', 'dd e8+r'),
  flagged('fcomi', 'db f0+r'), flagged('fcomip', 'df f0+r'),
  flagged('fucomi', 'db e8+r'), flagged('fucomip', 'df e8+r'),
  alone('ftst', 'd9 e4'), alone('fxam', 'd9 e5'),
]

function flagged(name: string, opcode: string): Definition {
  return comparingFlags(name, [row(opcode, 'F0', 'Fi').cpuid('cmov')])
}

const moves: readonly Definition[] = [
  x87('fld', row('d9 /0 m', 'Md'), row('dd /0 m', 'Mq'), row('db /5 m', 'Mt'),
    row('d9 c0+r', 'Fi')),
  x87('fst', row('d9 /2 m', 'Md'), row('dd /2 m', 'Mq'), row('dd d0+r', 'Fi')),
  x87('fstp', row('d9 /3 m', 'Md'), row('dd /3 m', 'Mq'), row('db /7 m', 'Mt'),
    row('dd d8+r', 'Fi'), row('df d0+r', 'Fi'), row('df d8+r', 'Fi')),
  x87('fstpnce', row('d9 d8+r', 'Fi')),
  x87('fild', row('df /0 m', 'Mw'), row('db /0 m', 'Md'), row('df /5 m', 'Mq')),
  x87('fist', row('df /2 m', 'Mw'), row('db /2 m', 'Md')),
  x87('fistp', row('df /3 m', 'Mw'), row('db /3 m', 'Md'), row('df /7 m', 'Mq')),
  x87('fisttp', row('df /1 m', 'Mw'), row('db /1 m', 'Md'), row('dd /1 m', 'Mq')),
  x87('fbld', row('df /4 m', 'Mt')), x87('fbstp', row('df /6 m', 'Mt')),
  x87('fxch', row('d9 c8+r', 'Fi'), row('dd c8+r', 'Fi'), row('df c8+r', 'Fi')),
  x87('ffree', row('dd c0+r', 'Fi')), x87('ffreep', row('df c0+r', 'Fi')),
  withTop('fcmovb', 'da c0+r'), withTop('fcmove', 'da c8+r'), withTop('fcmovbe', 'da d0+r'),
  withTop('fcmovu', 'da d8+r'), withTop('fcmovnb', 'db c0+r'), withTop('fcmovne', 'db c8+r'),
  withTop('fcmovnbe', 'db d0+r'), withTop('fcmovnu', 'db d8+r'),
]

/** Mnemonics of d9 e0 to d9 ff that have no operands, by their second byte. */
const single: readonly (readonly [string, string])[] = [
  ['fnop', 'd0'], ['fchs', 'e0'], ['fabs', 'e1'], ['fld1', 'e8'], ['fldl2t', 'e9'],
  ['fldl2e', 'ea'], ['fldpi', 'eb'], ['fldlg2', 'ec'], ['fldln2', 'ed'], ['fldz', 'ee'],
  ['f2xm1', 'f0'], ['fyl2x', 'f1'], ['fptan', 'f2'], ['fpatan', 'f3'], ['fxtract', 'f4'],
  ['fprem1', 'f5'], ['fdecstp', 'f6'], ['fincstp', 'f7'], ['fprem', 'f8'], ['fyl2xp1', 'f9'],
  ['fsqrt', 'fa'], ['fsincos', 'fb'], ['frndint', 'fc'], ['fscale', 'fd'], ['fsin', 'fe'],
  ['fcos', 'ff'],
]

const control: readonly Definition[] = [
  ...single.map(([name, second]) => alone(name, `d9 ${second}`)),
  loadControl('fldcw', [row('d9 /5 m', 'Mw').cpuid('fpu')]),
  storeWord('fnstcw', 'control', [row('d9 /7 m', 'Mw').cpuid('fpu')]),
  storeWord('fnstsw', 'status',
    [row('dd /7 m', 'Mw').cpuid('fpu'), row('df e0', 'AX').cpuid('fpu')]),
  byService('fldenv', row('d9 /4 m', 'M')), byService('fnstenv', row('d9 /6 m', 'M')),
  byService('fnsave', row('dd /6 m', 'M')), byService('frstor', row('dd /4 m', 'M')),
  byService('fneni', row('db e0')), byService('fndisi', row('db e1')),
  byService('fnclex', row('db e2')), byService('fninit', row('db e3')),
  byService('fnsetpm', row('db e4')), byService('fwait', row('9b')),
]

const neighbours: readonly Definition[] = [
  // Regions that keep the x87 state in locals know nothing of tags that change elsewhere.
  define('emms', {
    encodings: [row('np 0f 77').cpuid('mmx')], interpreted: true,
    execute(m) {
      m.leaveMmx()
    },
  }),
  define('maskmovq', {
    encodings: [row('np 0f f7 /r r', 'Pq', 'Nq').cpuid('sse')], service: true,
  }),
  define('maskmovdqu', {
    encodings: [row('66 0f f7 /r r', 'Vx', 'Ux').cpuid('sse2')], service: true,
  }),
]

export const x87Instructions: readonly Definition[] = [
  ...arithmetic, ...comparisons, ...moves, ...control, ...neighbours,
]
