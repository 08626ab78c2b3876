/**
 * Far transfers in long mode: IRET, far RET, CALL and JMP, call gates, SYSCALL and its kin.
 */
import {
  describe, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

interface Frame {
  readonly cs?: string
  readonly ss?: string
  readonly rsp?: string
  readonly rip?: string
  readonly flags?: number
  readonly before?: string
  readonly user?: boolean
}

/** Pushes a frame of 64-bit values, the last one first. */
function push(values: readonly string[]): string {
  return values.map((value) => `movabs rax, ${value}\npush rax`).join('\n')
}

function landing({ cs = 'USER64', rip }: Frame): string {
  const outside = /USER|3$/.test(cs)
  return rip ?? `offset 1f + ${outside ? 'ALIAS' : '0'}`
}

function iret(name: string, frame: Frame): Experiment {
  const { cs = 'USER64', ss = 'USER_DATA', rsp = 'USER_STACK + ALIAS', flags = 2 } = frame
  return experiment(`${frame.user ? 'user' : 'kernel'}: IRETQ ${name}`, lines(
    frame.before ?? '', frame.user ? 'USER64' : '',
    push([ss, rsp, hex(flags), cs, landing(frame)]), 'iretq', '1:'))
}

function retf(name: string, frame: Frame, release = 0): Experiment {
  const { cs = 'USER64', ss = 'USER_DATA', rsp = 'USER_STACK + ALIAS' } = frame
  const before = [ss, rsp, ...Array.from({ length: release / 8 }, () => '0x77'), cs, landing(frame)]
  return experiment(`${frame.user ? 'user' : 'kernel'}: far RET ${name}`, lines(
    frame.before ?? '', frame.user ? 'USER64' : '', push(before),
    release ? `rex.w retf ${release}` : 'rex.w retf', '1:'))
}

/** Code segments to return to: name, selector, what makes its descriptor. */
const codes: readonly (readonly [string, string, string])[] = [
  ['to kernel code', 'CODE', ''],
  ['to kernel code with RPL 1', 'CODE + 1', ''],
  ['to user code', 'USER64', ''],
  ['to 32-bit user code', 'USER32', ''],
  ['to 16-bit user code', 'USER16', ''],
  ['to 32-bit kernel code', 'CODE32', ''],
  ['to user code with RPL 0', 'USER64 - 3', ''],
  ['to null', '0', ''],
  ['to null with RPL 3', '3', ''],
  ['to data', 'USER_DATA', ''],
  ['to a TSS', 'TSS_SEL', ''],
  ['beyond the table', '0x403', ''],
  ['to an LDT that is not there', '7', ''],
  ['to code with L and D', 'FREE + 3', describe('FREE', 0xfb, 0xe)],
  ['to code that is not present', 'FREE + 3', describe('FREE', 0x7b, 0xa)],
  ['to not accessed code', 'FREE + 3', describe('FREE', 0xf8, 0xa)],
  ['to conforming code of level 0', 'FREE + 3', describe('FREE', 0x9f, 0xa)],
  ['to conforming code of level 3', 'FREE + 3', describe('FREE', 0xff, 0xa)],
  ['to conforming code of level 3 with RPL 0', 'FREE', describe('FREE', 0xff, 0xa)],
  ['to code of level 1', 'FREE + 1', describe('FREE', 0xbb, 0xa)],
  ['to 32-bit code with a small limit', 'FREE + 3', describe('FREE', 0xfb, 0x4, 0, 0xff)],
]

const returns: readonly Experiment[] = codes.flatMap(([name, cs, before]) =>
  [false, true].flatMap((user) => {
    const ss = /USER|3$/.test(cs) ? 'USER_DATA' : /1$/.test(cs) ? 'FREE2 + 1' : 'DATA_SEG'
    const all = lines(before, describe('FREE2', 0xb3))
    return [
      iret(name, { cs, ss, before: all, user }), retf(name, { cs, ss, before: all, user }),
    ]
  }))

/** Stack segments. */
const stacks: readonly (readonly [string, string, string])[] = [
  ['user data', 'USER_DATA', ''],
  ['user data with RPL 0', 'USER_DATA - 3', ''],
  ['kernel data', 'DATA_SEG', ''],
  ['kernel data with RPL 3', 'DATA_SEG + 3', ''],
  ['null', '0', ''],
  ['null with RPL 3', '3', ''],
  ['null with RPL 1', '1', ''],
  ['code', 'USER64', ''],
  ['beyond the table', '0x403', ''],
  ['read-only data', 'FREE + 3', describe('FREE', 0xf1)],
  ['data that is not present', 'FREE + 3', describe('FREE', 0x73)],
  ['not accessed data', 'FREE + 3', describe('FREE', 0xf2)],
  ['16-bit data', 'FREE + 3', describe('FREE', 0xf3, 0, 0, 0xffff)],
]

function stackOf(cs: string): string {
  return cs.startsWith('USER') ? 'USER_STACK + ALIAS' : 'STACK - 64'
}

const returnStacks: readonly Experiment[] = stacks.flatMap(([name, ss, before]) =>
  ['USER64', 'USER32', 'CODE', 'CODE32'].flatMap((cs) => [
    iret(`to ${cs} with a stack in ${name}`, { cs, ss, before, rsp: stackOf(cs) }),
    retf(`to ${cs} with a stack in ${name}`, { cs, ss, before, rsp: stackOf(cs) }),
  ]))

const flagBits: readonly (readonly [string, number])[] = [
  ['all arithmetic flags', 0xcd7], ['IF', 0x202], ['IOPL 3', 0x3002], ['NT', 0x4002],
  ['RF', 0x1_0002], ['AC', 0x4_0002], ['VIF', 0x8_0002], ['VIP', 0x10_0002], ['ID', 0x20_0002],
  ['VM', 0x2_0002], ['reserved bits', 0xffc0_802a],
]

const returnFlags: readonly Experiment[] = flagBits.flatMap(([name, flags]) => [
  iret(`to the user with ${name}`, { flags }),
  iret(`to the kernel with ${name}`, { flags, cs: 'CODE', ss: 'DATA_SEG', rsp: 'STACK - 64' }),
  iret(`to himself with ${name}`, { flags, user: true }),
  experiment(`kernel: POPFQ of ${name}`, `mov eax, ${hex(flags)}\npush rax\npopfq`),
  experiment(`user: POPFQ of ${name}`, `USER64\nmov eax, ${hex(flags)}\npush rax\npopfq`),
  experiment(`user: POPFQ of ${name} with IOPL 3`, lines(
    push(['USER_DATA', 'USER_STACK + ALIAS', '0x3002', 'USER64', 'offset 1f + ALIAS']), 'iretq',
    `1: mov eax, ${hex(flags)}\npush rax\npopfq`)),
  experiment(`user: POPFW of ${name}`, `USER64\nmov eax, ${hex(flags)}\npush rax\npopfw`),
  experiment(`32-bit user: POPFD of ${name}`, `USER32\nmov eax, ${hex(flags)}\npush eax\npopfd`),
])

const others: readonly Experiment[] = [
  iret('with NT is #GP', { before: 'pushq 0x4002\npopfq' }),
  iret('to a non-canonical address', { rip: '0x800000000000' }),
  iret('to the kernel at a non-canonical address',
    { cs: 'CODE', ss: 'DATA_SEG', rip: '0x800000000000' }),
  iret('with a non-canonical stack pointer', { rsp: '0x800000000000' }),
  iret('to 32-bit code with a large stack pointer', { cs: 'USER32', rsp: '0x1234567820219fc0' }),
  iret('to 32-bit code above 4 GiB', { cs: 'USER32', rip: 'offset 1f + 0x120000000' }),
  iret('to 32-bit kernel code above its limit',
    { cs: 'FREE', ss: 'DATA_SEG', before: describe('FREE', 0x9b, 4, 0, 0xfff) }),
  iret('leaves kernel data segments to the user as null',
    { before: 'mov eax, DATA_SEG\nmov ds, eax\nmov es, eax\nmov fs, eax\nmov gs, eax' }),
  iret('leaves user data segments to the user',
    { before: 'mov eax, USER_DATA\nmov ds, eax\nmov es, eax\nmov fs, eax\nmov gs, eax' }),
  iret('clears the base of FS when it becomes null', { before: lines(
    'mov eax, DATA_SEG\nmov fs, eax\nmov ecx, 0xc0000100\nmov eax, 0x1234\nxor edx, edx\nwrmsr') }),
  iret('keeps the base of FS when it was null', { before: lines(
    'mov ecx, 0xc0000100\nmov eax, 0x1234\nxor edx, edx\nwrmsr') }),
  retf('with 16 bytes released', {}, 16),
  retf('to himself with 16 bytes released', { user: true }, 16),
  retf('to the kernel with 16 bytes released',
    { cs: 'CODE', ss: 'DATA_SEG', rsp: 'STACK - 64' }, 16),
  retf('to a non-canonical address', { rip: '0x800000000000' }),
  experiment('IRETD in 64-bit code', lines('mov ebp, esp\nsub esp, 20\nand esp, -16',
    'mov dword ptr [rsp], offset 1f + ALIAS\nmov dword ptr [rsp + 4], USER64',
    'mov dword ptr [rsp + 8], 0x2\nmov dword ptr [rsp + 12], USER_STACK + ALIAS',
    'mov dword ptr [rsp + 16], USER_DATA\niretd\n1:')),
  experiment('IRETW in 64-bit code to 16 bits of address', lines('sub esp, 32',
    'mov word ptr [rsp], 0x8000\nmov word ptr [rsp + 2], CODE\nmov word ptr [rsp + 4], 2',
    'mov word ptr [rsp + 6], 0x4000\nmov word ptr [rsp + 8], DATA_SEG',
    'mov dword ptr [LOW + 0x8000], 0x90907fcd\nmov word ptr [0x8000], 0x7fcd\niretw')),
  experiment('far RET of 32 bits in 64-bit code', lines('sub esp, 16',
    'mov dword ptr [rsp], offset 1f\nmov dword ptr [rsp + 4], CODE\nretf\n1:')),
  experiment('32-bit user: IRETD', lines('USER32', 'pushfd\npush USER32\ncall 1f\n1:',
    'add dword ptr [esp], 2f - 1b\niretd\n2:')),
  experiment('32-bit user: IRETD to 64-bit code', lines('USER32',
    'pushfd\npush USER64\ncall 1f\n1:',
    'add dword ptr [esp], 2f - 1b\niretd\n2:')),
  experiment('32-bit kernel: IRETD to the user', lines('KERNEL32',
    'push USER_DATA\npush USER_STACK + ALIAS\npush 2\npush USER32\npush offset 1f + ALIAS',
    'iretd\n1:')),
  experiment('32-bit kernel: IRETD to the kernel', lines('KERNEL32',
    'push 2\npush CODE\npush offset 1f\niretd\n1:')),
  experiment('32-bit kernel: IRETD to 64-bit user code', lines('KERNEL32',
    'push USER_DATA\npush USER_STACK + ALIAS\npush 2\npush USER64\npush offset 1f + ALIAS',
    'iretd\n1:')),
  experiment('32-bit kernel: IRETD with VM', lines('KERNEL32',
    'push 0\npush 0\npush 0\npush 0\npush USER_DATA\npush USER_STACK + ALIAS\npush 0x20002',
    'push USER32\npush offset 1f + ALIAS\niretd\n1:')),
  experiment('user: IRET with a stack that the kernel owns',
    'USER64\nmov esp, 0x212000 - 64\niretq'),
  experiment('user: far RET with a stack that the kernel owns',
    'USER64\nmov esp, 0x212000 - 64\nrex.w retf'),
]

/** Far jumps and calls through memory. */
function far(
  name: string, operation: 'jmp' | 'call', selector: string, before = '', level = '',
  offset = '1f',
): Experiment {
  return experiment(`${level || 'kernel'}: far ${operation} ${name}`, lines(before,
    `mov qword ptr [DATA], offset ${offset}${level ? ' + ALIAS' : ''}`,
    `mov word ptr [DATA + 8], ${selector}`, `mov dword ptr [DATA + 16], offset ${offset}`
    + `${level ? ' + ALIAS' : ''}`, `mov word ptr [DATA + 20], ${selector}`, level,
    level === 'USER32' ? `${operation} fword ptr [DATA + ALIAS + 16]`
      : `rex.w ${operation} fword ptr [DATA + ${level ? 'ALIAS' : '0'}]`, '1:'))
}

const farTargets: readonly Experiment[] = codes.flatMap(([name, selector, before]) =>
  (['jmp', 'call'] as const).flatMap((operation) => ['', 'USER64', 'USER32'].map((level) =>
    far(name, operation, selector, before, level))))

/** A call gate of sixteen bytes. */
function callGate(access: number, selector: string, offset = 'offset 2f', type = 0): string {
  return lines('mov eax, ' + offset, 'mov [GDT + FREE], ax',
    `mov word ptr [GDT + FREE + 2], ${selector}`,
    `mov word ptr [GDT + FREE + 4], ${hex(access << 8)}`, 'shr eax, 16',
    'mov [GDT + FREE + 6], ax', 'cmp eax, eax', 'mov dword ptr [GDT + FREE + 8], 0',
    `mov dword ptr [GDT + FREE + 12], ${hex(type << 8)}`)
}

function throughGate(name: string, gate: string, selector = 'FREE + 3'): Experiment[] {
  return (['jmp', 'call'] as const).flatMap((operation) => ['', 'USER64', 'USER32'].map((level) => {
    const one = far(`through a gate ${name}`, operation, selector, gate, level, '1f')
    return experiment(one.name, `${one.code}\nnop\n.code64\n2: mov rax, [rsp]\nmov rcx, [rsp + 8]\n`
      + 'mov rdx, [rsp + 16]\nmov rbx, [rsp + 24]')
  }))
}

const gates: readonly Experiment[] = [
  ...throughGate('to kernel code', callGate(0xec, 'CODE')),
  ...throughGate('to conforming code', lines(describe('FREE2', 0x9f, 0xa),
    callGate(0xec, 'FREE2', 'offset 2f + ALIAS'))),
  ...throughGate('to user code', callGate(0xec, 'USER64', 'offset 2f + ALIAS')),
  ...throughGate('to 32-bit code', callGate(0xec, 'CODE32')),
  ...throughGate('of level 0', callGate(0x8c, 'CODE')),
  ...throughGate('that is not present', callGate(0x6c, 'CODE')),
  ...throughGate('to null', callGate(0xec, '0')),
  ...throughGate('beyond the table', callGate(0xec, '0x400')),
  ...throughGate('to data', callGate(0xec, 'DATA_SEG')),
  ...throughGate('to code that is not present', lines(describe('FREE2', 0x1b, 0xa),
    callGate(0xec, 'FREE2'))),
  ...throughGate('with a type in the upper half', callGate(0xec, 'CODE', 'offset 2f', 1)),
  ...throughGate('of 16 bits', callGate(0xe4, 'CODE')),
  ...throughGate('that is a task gate', callGate(0xe5, 'TSS2_SEL')),
  ...throughGate('that is a TSS', callGate(0xec, 'CODE'), 'TSS2_SEL'),
  ...throughGate('that is an interrupt gate', callGate(0xee, 'CODE')),
  ...throughGate('whose second half is beyond the table',
    `${callGate(0xec, 'CODE')}\nlgdt [3f]\njmp 4f\n3: .word FREE + 11\n.quad GDT\n4:`),
  experiment('USER64: a call gate with RSP0 in no page', lines(callGate(0xec, 'CODE'),
    'mov dword ptr [TSS + 4], 0x3000000', 'mov word ptr [DATA + 8], FREE + 3', 'USER64',
    'rex.w call fword ptr [DATA + ALIAS]\n2:')),
  experiment('USER64: a call gate with a non-canonical RSP0', lines(callGate(0xec, 'CODE'),
    'mov dword ptr [TSS + 8], 0x8000', 'mov word ptr [DATA + 8], FREE + 3', 'USER64',
    'rex.w call fword ptr [DATA + ALIAS]\n2:')),
  experiment('USER64: a call gate with a TSS that is too short', lines(callGate(0xec, 'CODE'),
    'mov word ptr [GDT + TSS_SEL], 10\nmov byte ptr [GDT + TSS_SEL + 5], 0x89',
    'mov eax, TSS_SEL\nltr ax', 'mov word ptr [DATA + 8], FREE + 3', 'USER64',
    'rex.w call fword ptr [DATA + ALIAS]\n2:')),
]

function msr(number: number, value: string): string {
  return `mov ecx, ${hex(number)}\nmov rax, ${value}\nmov rdx, rax\nshr rdx, 32\n`
    + 'cmp edx, edx\nwrmsr'
}

const EFER_WITHOUT_SCE = msr(0xc000_0080, '0xd00')

const fast: readonly Experiment[] = [
  experiment('kernel: SYSCALL', 'syscall'),
  experiment('user: SYSCALL', 'USER64\nsyscall'),
  experiment('32-bit user: SYSCALL', 'USER32\nsyscall'),
  experiment('user: SYSCALL with all flags', 'USER64\npushq 0x240cd7\npopfq\nsyscall'),
  experiment('user: SYSCALL with a mask of all flags',
    `${msr(0xc000_0084, '0xffffffff')}\nUSER64\npushq 0x240cd7\npopfq\nsyscall`),
  experiment('user: SYSCALL without EFER.SCE', `${EFER_WITHOUT_SCE}\nUSER64\nsyscall`),
  experiment('SYSRET without EFER.SCE', `${EFER_WITHOUT_SCE}\nSYSRETQ`),
  experiment('SYSRET to 64-bit code',
    'mov r11, 0x3c7fd7\nmov ecx, offset 1f + ALIAS\nmov rsp, USER_STACK + ALIAS\n'
    + 'and r11, 0xcd7\nSYSRETQ\n1:'),
  ...flagBits.map(([name, flags]) => experiment(`SYSRET to 64-bit code with ${name}`,
    `mov r11d, ${hex(flags & ~0x200)}\nmov ecx, offset 1f + ALIAS\n`
    + 'mov esp, USER_STACK + ALIAS\nSYSRETQ\n1:')),
  experiment('SYSRET to 32-bit code',
    'mov r11, 0x2\nmovabs rcx, 0x7700000000 + offset 1f + ALIAS\nmov rsp, USER_STACK + ALIAS\n'
    + 'SYSRETD\n1:'),
  experiment('user: SYSRET', 'USER64\nmov ecx, offset 1f + ALIAS\nSYSRETQ\n1:'),
  experiment('32-bit kernel: SYSRET', 'KERNEL32\nmov ecx, offset 1f + ALIAS\nSYSRETD\n1:'),
  experiment('SYSRET keeps the data segments', 'mov eax, DATA_SEG\nmov ds, eax\nmov es, eax\n'
    + 'mov r11d, 2\nmov ecx, offset 1f + ALIAS\nmov esp, USER_STACK + ALIAS\nSYSRETQ\n1:'),
  experiment('SYSRET to a non-canonical address faults at the user\'s level, on AMD',
    'mov r11d, 2\nmov rcx, 0x800000000000\nmov esp, USER_STACK + ALIAS\nSYSRETQ'),
  ...['kernel', 'USER64', 'USER32', 'KERNEL32'].flatMap((level) => [
    experiment(`${level}: SYSENTER`, lines(msr(0x174, '8'), msr(0x175, 'STACK'),
      msr(0x176, 'offset 1f'), level === 'kernel' ? '' : level, 'sysenter\n1:')),
    experiment(`${level}: SYSEXIT`, lines(msr(0x174, '8'), level === 'kernel' ? '' : level,
      'mov edx, offset 1f + ALIAS\nmov ecx, USER_STACK + ALIAS\nSYSEXITD\n1:')),
  ]),
  experiment('SWAPGS', `${msr(0xc000_0101, '0x77000')}\nswapgs`),
  experiment('SWAPGS twice', `${msr(0xc000_0101, '0x77000')}\nswapgs\nmov rax, 1\nswapgs`),
  experiment('user: SWAPGS', 'USER64\nswapgs'),
  experiment('32-bit kernel: SWAPGS', 'KERNEL32\n.byte 0x0f, 0x01, 0xf8'),
]

const LIMITS = 'TCG does not check the limits of code segments'
const RF_NOW = 'RF is gone after one instruction, the INT (AMD APM 2, 3.1.6)'
const VIF = 'VIF and VIP are written at level 0 (AMD APM 3, IRET); TCG keeps them'
const AT_IRET = 'IRET and RET check their target (AMD APM 3); TCG arrives there first'

const known: readonly Difference[] = [
  [/code with L and D$/, 'L and D exclude one another (AMD APM 2, 4.8.1); TCG takes it for 64-bit '
    + 'code', 'vector=d '],
  [/small limit$|above 4 GiB|above its limit/, LIMITS, 'vector=d '],
  [/to CODE32 with a stack in null/, '32-bit code needs a stack (SDM 2A, IRET)', 'vector=d '],
  [/stack in data that is not present/, 'that is #SS (AMD APM 3, IRET); TCG says #NP',
    'vector=c '],
  [/IRETQ .*with RF/, RF_NOW, 'vector=7f ', 'frame2=2 '],
  [/kernel: IRETQ .*with VIF/, VIF, 'frame2=80002 '],
  [/kernel: IRETQ .*with VIP/, VIF, 'frame2=100002 '],
  [/(IRETQ|RET) to .*non-canonical address/, AT_IRET, 'vector=d ', 'frame2=8 '],
  [/clears the base of FS/, 'CPUID says that null selectors clear bases',
    'moreSelectors=4000000000'],
  [/IRETD with VM/, 'long mode has no virtual-8086 mode; TCG enters it', 'vector=7f '],
  [/that the kernel owns/, 'the stack is read with the rights of the present level; TCG reads it '
    + 'as the kernel', 'vector=e '],
  [/call through a gate to conforming code/, 'the RPL of CS is the present level; TCG takes the '
    + 'DPL', 'vector=7f ', 'frame1=93 '],
  [/jmp through a gate to code that is not present/, 'that is #NP (AMD APM 3, JMP)', 'vector=b '],
  [/SYSCALL with all flags/, 'TCG loses the arithmetic flags', 'flags=2408d7'],
  [/SYSRET .*with RF/, 'RF and VM are cleared (AMD APM 3, SYSRET)', 'frame2=2 '],
  [/SYSRET .*with VM/, 'RF and VM are cleared (AMD APM 3, SYSRET)', 'vector=7f ', 'frame2=2 '],
  [/SYSRET .*with VIF/, VIF, 'frame2=80002 '],
  [/SYSRET .*with VIP/, VIF, 'frame2=100002 '],
  [/32: SYSE/, 'AMD has neither SYSENTER nor SYSEXIT in long mode; TCG only in 64-bit code',
    'vector=6 '],
]

export const longTransfers = withKnown([
  ...returns, ...returnStacks, ...returnFlags, ...others, ...farTargets, ...gates, ...fast,
], known)
