/**
 * Instruction lengths, prefixes, alignment, code that changes itself, and saved states.
 */
import {
  alone, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

function bytes(name: string, ...values: number[]): Experiment[] {
  const text = `.byte ${values.map(hex).join(', ')}`
  return ['', 'USER64', 'USER32', 'KERNEL32'].map((level) =>
    experiment(`${level || 'kernel'}: ${name}`, lines('xor eax, eax', 'mov ebx, DATA',
      level.startsWith('USER') ? 'mov ebx, DATA + ALIAS' : '', level, text)))
}

const LOCK = 0xf0

const prefixes: readonly Experiment[] = [
  ...bytes('LOCK ADD to memory', LOCK, 0x01, 0x03),
  ...bytes('LOCK ADD to a register', LOCK, 0x01, 0xc3),
  ...bytes('LOCK ADD from memory', LOCK, 0x03, 0x03),
  ...bytes('LOCK CMP', LOCK, 0x39, 0x03),
  ...bytes('LOCK MOV', LOCK, 0x89, 0x03),
  ...bytes('LOCK NOP', LOCK, 0x90),
  ...bytes('LOCK BT', LOCK, 0x0f, 0xa3, 0x03),
  ...bytes('LOCK BTS', LOCK, 0x0f, 0xab, 0x03),
  ...bytes('LOCK NOT', LOCK, 0xf7, 0x13),
  ...bytes('LOCK TEST', LOCK, 0xf7, 0x03, 0, 0, 0, 0),
  ...bytes('LOCK INC', LOCK, 0xff, 0x03),
  ...bytes('LOCK CALL', LOCK, 0xff, 0x13),
  ...bytes('LOCK XCHG', LOCK, 0x87, 0x03),
  ...bytes('LOCK CMPXCHG8B', LOCK, 0x0f, 0xc7, 0x0b),
  ...bytes('LOCK ADC of an immediate', LOCK, 0x83, 0x13, 1),
  ...bytes('LOCK SHL', LOCK, 0xd1, 0x23),
  ...bytes('REP NOP', 0xf3, 0x90),
  ...bytes('REPNE MOV', 0xf2, 0x89, 0xc0),
  ...bytes('no instruction', 0x0f, 0xff, 0xc0),
  ...bytes('no instruction of group 3 NP', 0x0f, 0x24, 0xc0),
  ...bytes('ADD with an unknown form', 0xfe, 0xd0),
  ...bytes('group 11 with an unknown form', 0xc6, 0xc8, 0),
  ...bytes('POP with an unknown form', 0x8f, 0xc8),
  ...bytes('LEA of a register', 0x8d, 0xc0),
  ...bytes('CMPXCHG8B of a register', 0x0f, 0xc7, 0xc8),
  ...bytes('far JMP through a register', 0xff, 0xe8),
  ...bytes('PUSH ES', 0x06), ...bytes('AAA', 0x37), ...bytes('AAM 0', 0xd4, 0),
  ...bytes('SALC', 0xd6), ...bytes('PUSHA', 0x60), ...bytes('far CALL', 0x9a, 0, 0, 0, 0, 0, 0),
  ...bytes('LAHF', 0x9f), ...bytes('82 /0', 0x82, 0xc0, 5),
  ...bytes('MOVNTI of a register', 0x0f, 0xc3, 0xc0),
  ...bytes('MOVAPS not aligned', 0x0f, 0x28, 0x43, 8),
  ...bytes('PADDB with memory not aligned', 0x66, 0x0f, 0xfc, 0x43, 8),
  ...[14, 15, 16, 17].map((length) => experiment(`an instruction of ${length} bytes`,
    `.byte ${[...Array.from({ length: length - 1 }, () => '0x66'), '0x90'].join(', ')}`)),
  ...[14, 15, 16].map((length) => experiment(
    `an instruction of ${length} bytes with a displacement`,
    `mov ebx, DATA\n.byte ${[...Array.from({ length: length - 6 }, () => '0x2e'), '0x8b', '0x83',
      '0', '0', '0', '0'].join(', ')}`)),
  ...[14, 15, 16].map((length) => experiment(`user: an unknown instruction of ${length} bytes`,
    `USER64\n.byte ${[...Array.from({ length: length - 2 }, () => '0x66'), '0x0f', '0xff']
      .join(', ')}`)),
  experiment('REX before another prefix does not count', '.byte 0x48, 0x66, 0xb8, 0x34, 0x12'),
  experiment('two REX prefixes', '.byte 0x48, 0x40, 0xb8, 1, 2, 3, 4'),
]

/** Code at the end of the window's first page. */
function atEnd(name: string, code: readonly number[], before: string, user = false): Experiment {
  const start = 0x1000 - before.split(',').filter((byte) => byte !== '').length
  const first = before.split(',').map((byte, i) =>
    `mov byte ptr [FRAMES + ${start + i}], ${byte}`)
  const second = code.map((byte, i) => `mov byte ptr [FRAMES + 0x1000 + ${i}], ${hex(byte)}`)
  return experiment(name, lines(...first, ...second, user ? 'USER64' : '',
    `mov ebx, WINDOW + ${start}`, 'jmp rbx'))
}

const NO_SECOND = 'MAP 1, 0'
const ending: readonly Experiment[] = [
  atEnd('an instruction across two pages', [0x34, 0x12, 0, 0, 0xcd, 0x7f], '0xb8'),
  ...[false, true].flatMap((user) => [
    ['an opcode at the end', '0xb8'], ['a prefix at the end', '0x66'],
    ['a ModRM at the end', '0x8b,0x83'], ['0F at the end', '0x0f'],
    ['a bad opcode at the end', '0x0f,0xff'], ['an instruction that ends there', '0x90'],
    ['an instruction that needs no more', '0xeb,0xfe'],
    ['LOCK at the end', '0xf0'], ['a division that faults first', '0x31,0xc9,0xf7,0xf1'],
  ].map(([name, before]) => {
    const { code } = atEnd('', [], before!, user)
    return experiment(`${user ? 'user: ' : ''}no second page, ${name}`,
      `${NO_SECOND}\n${name!.includes('no more') ? 'FINISH' : ''}\n${code}`)
  })),
  experiment('the second page is elsewhere the second time', lines(
    'mov byte ptr [FRAMES + 0xfff], 0xb8', 'mov dword ptr [FRAMES + 0x1000], 1',
    'mov byte ptr [FRAMES + 0x1004], 0xc3', 'mov dword ptr [FRAMES + 0x2000], 2',
    'mov byte ptr [FRAMES + 0x2004], 0xc3', 'mov ebx, WINDOW + 0xfff', 'call rbx', 'mov ecx, eax',
    'MAP 1, FRAMES + 0x2007', 'invlpg [WINDOW + 0x1000]', 'call rbx')),
  experiment('the second page is gone the second time', lines(
    'mov byte ptr [FRAMES + 0xfff], 0xb8', 'mov dword ptr [FRAMES + 0x1000], 1',
    'mov byte ptr [FRAMES + 0x1004], 0xc3', 'mov ebx, WINDOW + 0xfff', 'call rbx', 'MAP 1, 0',
    'invlpg [WINDOW + 0x1000]', 'call rbx')),
  experiment('the second page is not executable', lines(
    'mov byte ptr [FRAMES + 0xfff], 0xb8', 'MAP 1, FRAMES + 0x1007, 0x80000000',
    'mov ebx, WINDOW + 0xfff', 'jmp rbx')),
  experiment('16 bytes of prefixes across two pages that are there', lines(
    'mov edi, WINDOW + 0xff8\nmov al, 0x66\nmov ecx, 16\nrep stosb', 'mov ebx, WINDOW + 0xff8',
    'jmp rbx')),
  experiment('16 bytes of prefixes, and no second page', lines(
    'mov edi, WINDOW + 0xff8\nmov al, 0x66\nmov ecx, 8\nrep stosb', NO_SECOND,
    'mov ebx, WINDOW + 0xff8', 'jmp rbx')),
]

const changing: readonly Experiment[] = [
  experiment('the next instruction is changed', 'mov byte ptr [1f + 1], 9\n1: mov al, 1'),
  experiment('an instruction further on is changed',
    'mov byte ptr [1f + 1], 9\nnop\nnop\nnop\nnop\n1: mov al, 1'),
  experiment('an instruction of an earlier loop round is changed',
    'mov ecx, 3\nxor eax, eax\n1: add eax, 1\ninc byte ptr [1b + 2]\nloop 1b'),
  experiment('code changes through another mapping', lines('mov ecx, 2',
    '1: mov al, 1', 'add dl, al', 'inc byte ptr [1b + 1 + ALIAS]', 'loop 1b')),
  experiment('code changes to one that is longer', lines('mov ecx, 2', 'jmp 2f', '.balign 64',
    '1: nop\nnop\nnop\nnop\nnop\njmp 3f', '2: call 1b\nmov byte ptr [1b], 0xb8', 'call 1b',
    'jmp 4f', '3: inc edx\nret\n4:')),
  experiment('a jump\'s target is changed', lines('mov ecx, 2', '1: jmp 2f', '2: add edx, 1',
    '3: add edx, 16', 'mov byte ptr [1b + 1], 3', 'loop 1b')),
  experiment('REP STOSB over the code behind it', lines('mov edi, offset 1f', 'mov ecx, 4',
    'mov al, 0x90', 'rep stosb', '1: inc edx\ninc edx')),
  experiment('REP MOVSB over itself', lines('mov edi, offset 1f\nmov esi, offset 2f\nmov ecx, 4',
    '1: rep movsb\nnop\nnop\nnop\njmp 3f', '2: nop\nnop\nnop\nnop\n3:')),
  experiment('code is written by a push', lines('mov esp, offset 1f + 8',
    'movabs rax, 0x9090909090909090', 'push rax', '1: inc edx\ninc edx\ninc edx\ninc edx',
    'mov esp, STACK')),
  experiment('code is written by CMPXCHG8B', lines('mov eax, [1f]\nmov edx, [1f + 4]',
    'mov ebx, 0x90909090\nmov ecx, 0x90909090', 'lock cmpxchg8b [1f]',
    '.balign 8\n1: inc esi\ninc esi\ninc esi\ninc esi')),
  experiment('code in the window, in two frames one after the other', lines(
    'mov dword ptr [FRAMES], 0xc3c0ff90', 'mov dword ptr [FRAMES + 0x1000], 0xc3c8ff90',
    'xor eax, eax', 'mov ebx, WINDOW', 'call rbx\ncall rbx', 'MAP 0, FRAMES + 0x1007',
    'invlpg [WINDOW]', 'call rbx', 'MAP 0, FRAMES + 7', 'invlpg [WINDOW]',
    'mov byte ptr [FRAMES + 2], 0xc1', 'call rbx')),
  experiment('code that the user changes through the alias', lines('USER64', 'mov ecx, 2',
    '1: mov al, 1', 'add dl, al', 'inc byte ptr [rip + 1b + 1]', 'loop 1b')),
]

const AM = 'mov eax, 0x80050033\nmov cr0, rax\nUSER64\npushq 0x40002\npopfq'
const NO_AM = 'mov eax, 0x80010033\nmov cr0, rax\nUSER64\npushq 0x40002\npopfq'

/** #AC is for user code, with CR0.AM and RFLAGS.AC. */
const alignment: readonly Experiment[] = [
  ['a word', 'mov ax, [DATA + ALIAS + 1]'], ['a doubleword', 'mov eax, [DATA + ALIAS + 2]'],
  ['a quadword', 'mov rax, [DATA + ALIAS + 4]'], ['a store', 'mov [DATA + ALIAS + 2], eax'],
  ['a push', 'sub rsp, 4\npush rax'],
  ['a read to write back', 'add dword ptr [DATA + ALIAS + 1], 1'],
  ['a double', 'fld qword ptr [DATA + ALIAS + 4]'], ['MOVUPS', 'movups xmm0, [DATA + ALIAS + 4]'],
  ['REP MOVSD', 'mov esi, DATA + ALIAS + 1\nmov edi, OUT + ALIAS\nmov ecx, 2\nrep movsd'],
].flatMap(([name, code]) => [
  alone(`alignment: ${name}, checked`, `${AM}\n${code}`, 'TCG checks no alignment',
    'vector=11 '),
  experiment(`alignment: ${name}, without CR0.AM`, `${NO_AM}\n${code}`),
  experiment(`alignment: ${name}, in the kernel`, `pushq 0x40002\npopfq\n${code}`),
])

const XSAVE_ON = 'mov eax, 0x406a0\nmov cr4, rax\nxor ecx, ecx\nmov eax, 3\nxor edx, edx\nxsetbv\n'
  + 'fld1\nfldpi\nmov eax, 0x12345678\nmovd xmm3, eax\n'
const SAVE_ALL = 'mov eax, -1\nmov edx, -1\nxsave [DATA]\n'
const SHOW_HEADER = 'mov r8, [DATA + 512]\nmov r9, [DATA + 520]\nmov r10, [DATA]\n'
  + 'mov r11, [DATA + 24]\nmov r12, [DATA + 208]'

const states: readonly Experiment[] = [
  experiment('XSAVE without CR4.OSXSAVE', 'xsave [DATA]'),
  experiment('XSAVE with CR0.TS', `${XSAVE_ON}mov rax, 0x8005003b\nmov cr0, rax\nxsave [DATA]`),
  experiment('XSAVE of everything', XSAVE_ON + SAVE_ALL + SHOW_HEADER),
  experiment('XSAVE of x87', `${XSAVE_ON}mov eax, 1\nxor edx, edx\nxsave [DATA]\n${SHOW_HEADER}`),
  experiment('XSAVE of SSE', `${XSAVE_ON}mov eax, 2\nxor edx, edx\nxsave [DATA]\n${SHOW_HEADER}`),
  experiment('XSAVE of nothing',
    `${XSAVE_ON}xor eax, eax\nxor edx, edx\nxsave [DATA]\n${SHOW_HEADER}`),
  experiment('XSAVE keeps the bits of what it does not save',
    `${XSAVE_ON}mov qword ptr [DATA + 512], 5\nmov eax, 2\nxor edx, edx\nxsave [DATA]\n`
      + SHOW_HEADER),
  experiment('XSAVE, 16 bytes off', `${XSAVE_ON}xsave [DATA + 16]`),
  experiment('user: XSAVE, 4 bytes off', `${XSAVE_ON}USER64\nxsave [DATA + ALIAS + 4]`),
  experiment('XRSTOR, 16 bytes off', `${XSAVE_ON}xrstor [DATA + 16]`),
  experiment('XRSTOR of everything', `${XSAVE_ON}${SAVE_ALL}fninit\nxorps xmm3, xmm3\n`
    + 'xrstor [DATA]\nfstp qword ptr [OUT]\nmovd ebx, xmm3'),
  experiment('XRSTOR of an empty header', `${XSAVE_ON}mov eax, -1\nmov edx, -1\nxrstor [DATA]\n`
    + 'fnstsw [OUT]\nfnstcw [OUT + 2]\nmovd ebx, xmm3'),
  ...[2, 3, 4, 8, 62, 63].map((bit) => experiment(`XRSTOR with bit ${bit} in XSTATE_BV`,
    `${XSAVE_ON}${SAVE_ALL}bts qword ptr [DATA + 512], ${bit}\nxrstor [DATA]`)),
  ...[0, 8, 16, 24, 56].map((offset) => experiment(`XRSTOR with header byte ${offset + 8} set`,
    `${XSAVE_ON}${SAVE_ALL}mov byte ptr [DATA + ${520 + offset}], 1\nxrstor [DATA]`)),
  experiment('XRSTOR of a bad MXCSR',
    `${XSAVE_ON}${SAVE_ALL}mov dword ptr [DATA + 24], 0x12345678\nmov eax, 2\nxrstor [DATA]`),
  experiment('XRSTOR of x87 does not look at MXCSR', `${XSAVE_ON}${SAVE_ALL}`
    + 'mov dword ptr [DATA + 24], 0x12345678\nmov eax, 1\nxor edx, edx\nxrstor [DATA]'),
  experiment('FXSAVE, 8 bytes off', 'fxsave [DATA + 8]'),
  experiment('FXRSTOR of a bad MXCSR', 'fxsave [DATA]\nmov dword ptr [DATA + 24], 0x12345678\n'
    + 'fxrstor [DATA]'),
  experiment('LDMXCSR of reserved bits', 'mov dword ptr [DATA], 0x10000\nldmxcsr [DATA]'),
  alone('XSAVEC', `${XSAVE_ON}mov eax, -1\nmov edx, -1\nxsavec [DATA]\n${SHOW_HEADER}`,
    'TCG has no XSAVEC', 'vector=7f ', 'r8=3 ', 'r9=8000000000000003 '),
  alone('XRSTOR of a compact form with unknown components',
    `${XSAVE_ON}mov eax, -1\nmov edx, -1\nxsavec [DATA]\nbts qword ptr [DATA + 520], 5\n`
    + 'xrstor [DATA]', 'TCG has no XSAVEC', 'vector=d '),
  alone('user: XSAVES', `${XSAVE_ON}USER64\nxsaves [DATA + ALIAS]`, 'TCG has no XSAVES',
    'vector=d '),
]

const known: readonly Difference[] = [
  [/LOCK CMPXCHG8B/, 'TCG forgets PF', 'frame2=6 '],
  [/: LOCK |unknown form/, 'there is no such instruction (AMD APM 3); TCG has it', 'vector=6 '],
  [/REX before another/, 'only the last prefix may be REX; TCG takes any', 'vector=7f '],
  [/XSAVE with CR0.TS/, 'XSAVE is #NM then (AMD APM 4); TCG saves', 'vector=7 '],
  [/XSAVE of (everything|x87)/, 'TCG keeps no last opcode', 'r10=1eb00c03000037f '],
  [/bad MXCSR|LDMXCSR of/, 'that is #GP (AMD APM 4); TCG takes it', 'vector=d '],
]

export const longMisc = withKnown(
  [...prefixes, ...ending, ...changing, ...alignment, ...states], known)
