/**
 * Far transfers in 32-bit protected mode: IRET, far RET, CALL, JMP, and call gates with parameters.
 */
import {
  describe, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

interface Way {
  readonly cs?: string
  readonly ss?: string
  readonly user?: boolean
  readonly before?: string
  readonly flags?: number
}

const isOuter = (cs: string): boolean => /USER|[123]$/.test(cs)

function iret(name: string, way: Way): Experiment {
  const { cs = 'USER32', ss = 'USER_DATA', flags = 2, before = '', user = false } = way
  return experiment(`${user ? 'user' : 'kernel'}: IRETD ${name}`, lines(before, user ? 'USER' : '',
    isOuter(cs) && !user ? `push ${ss}\npush USER_STACK` : '', `push ${hex(flags)}`, `push ${cs}`,
    'push offset 1f', 'iretd', '1:'))
}

function retf(name: string, way: Way, release = 0): Experiment {
  const { cs = 'USER32', ss = 'USER_DATA', before = '', user = false } = way
  return experiment(`${user ? 'user' : 'kernel'}: far RET ${name}`, lines(before,
    user ? 'USER' : '', isOuter(cs) && !user ? `push ${ss}\npush USER_STACK` : '',
    release ? 'push 0x77' : '', `push ${cs}`, 'push offset 1f', release ? 'retf 4' : 'retf', '1:'))
}

const codes: readonly (readonly [string, string, string])[] = [
  ['to kernel code', 'CODE', ''], ['to kernel code with RPL 1', 'CODE + 1', ''],
  ['to user code', 'USER32', ''], ['to user code with RPL 0', 'USER32 - 3', ''],
  ['to null', '0', ''], ['to null with RPL 3', '3', ''], ['to data', 'USER_DATA', ''],
  ['to a TSS', 'TSS2_SEL', ''], ['beyond the table', '0x403', ''],
  ['to an LDT that is not there', '7', ''],
  ['to code that is not present', 'FREE + 3', describe('FREE', 0x7b)],
  ['to not accessed code', 'FREE + 3', describe('FREE', 0xf8)],
  ['to conforming code', 'FREE', describe('FREE', 0x9f)],
  ['to conforming code with RPL 3', 'FREE + 3', describe('FREE', 0x9f)],
  ['to conforming code of level 3', 'FREE + 3', describe('FREE', 0xff)],
  ['to code of level 1', 'FREE + 1', describe('FREE', 0xbb)],
  ['to code with L', 'FREE + 3', describe('FREE', 0xfb, 0xe)],
]

const returns = codes.flatMap(([name, cs, before]) => [false, true].flatMap((user) => {
  const ss = /1$/.test(cs) ? 'FREE2 + 1' : 'USER_DATA'
  const all = lines(before, describe('FREE2', 0xb3))
  return [iret(name, { cs, ss, user, before: all }), retf(name, { cs, ss, user, before: all })]
}))

const stacks: readonly (readonly [string, string, string])[] = [
  ['kernel data', 'DATA_SEG', ''], ['data with RPL 0', 'USER_DATA - 3', ''], ['null', '0', ''],
  ['null with RPL 3', '3', ''], ['code', 'USER32', ''], ['beyond the table', '0x403', ''],
  ['read-only data', 'FREE + 3', describe('FREE', 0xf1)],
  ['data that is not present', 'FREE + 3', describe('FREE', 0x73)],
  ['not accessed data', 'FREE + 3', describe('FREE', 0xf2)],
  ['16-bit data', 'FREE + 3', describe('FREE', 0xf3, 0, 0x21_0000, 0xffff)],
]

const returnStacks = stacks.flatMap(([name, ss, before]) => [
  iret(`with a stack in ${name}`, { ss, before }), retf(`with a stack in ${name}`, { ss, before }),
])

const flagBits: readonly (readonly [string, number])[] = [
  ['all arithmetic flags', 0xcd7], ['IF', 0x202], ['IOPL 3', 0x3002], ['AC', 0x4_0002],
  ['VIF', 0x8_0002], ['ID', 0x20_0002], ['reserved bits', 0xffc0_802a],
]

const returnFlags = flagBits.flatMap(([name, flags]) => [
  iret(`to the user with ${name}`, { flags }), iret(`to the kernel with ${name}`,
    { flags, cs: 'CODE' }),
  iret(`to himself with ${name}`, { flags, user: true }),
  experiment(`kernel: POPFD of ${name}`, `push ${hex(flags)}\npopfd`),
  experiment(`user: POPFD of ${name}`, `USER\npush ${hex(flags)}\npopfd`),
])

const far = codes.flatMap(([name, selector, before]) => (['jmp', 'call'] as const).flatMap((how) =>
  ['', 'USER'].map((level) => experiment(`${level || 'kernel'}: far ${how} ${name}`, lines(before,
    'mov dword ptr [DATA], offset 1f', `mov word ptr [DATA + 4], ${selector}`, level,
    `${how} fword ptr [DATA]`, '1:')))))

function gate(access: number, selector: string, count = 0, offset = 'offset 2f'): string {
  return lines(`mov eax, ${offset}`, 'mov [GDT + FREE], ax',
    `mov word ptr [GDT + FREE + 2], ${selector}`,
    `mov word ptr [GDT + FREE + 4], ${hex(access << 8 | count)}`, 'shr eax, 16',
    'mov [GDT + FREE + 6], ax', 'cmp eax, eax')
}

function through(name: string, before: string, selector = 'FREE + 3'): Experiment[] {
  return (['jmp', 'call'] as const).flatMap((how) => ['', 'USER'].map((level) =>
    experiment(`${level || 'kernel'}: far ${how} through a gate ${name}`, lines(before,
      `mov word ptr [DATA + 4], ${selector}`, level, 'push 0x111\npush 0x222\npush 0x333',
      `${how} fword ptr [DATA]`, 'int OPEN',
      '2: pop eax\npop ecx\npop edx\npop ebx\npop esi\npop edi\n'
      + 'pop ebp'))))
}

const gates: readonly Experiment[] = [
  ...through('to kernel code', gate(0xec, 'CODE')),
  ...through('with 2 parameters', gate(0xec, 'CODE', 2)),
  ...through('to code of level 1', lines(describe('FREE2', 0xb3), describe('FREE3', 0xbb),
    gate(0xec, 'FREE3', 1))),
  ...through('to conforming code', lines(describe('FREE3', 0x9f), gate(0xec, 'FREE3'))),
  ...through('to user code', gate(0xec, 'USER32')),
  ...through('of level 0', gate(0x8c, 'CODE')),
  ...through('that is not present', gate(0x6c, 'CODE')),
  ...through('to null', gate(0xec, '0')),
  ...through('beyond the table', gate(0xec, '0x400')),
  ...through('to data', gate(0xec, 'DATA_SEG')),
  ...through('to code that is not present', lines(describe('FREE3', 0x1b), gate(0xec, 'FREE3'))),
  ...through('that is an interrupt gate', gate(0xee, 'CODE')),
  ...through('of 16 bits', lines(describe('FREE3', 0x9b, 0xc, 0x10_0000),
    gate(0xe4, 'FREE3', 2, 'offset 2f - 0x100000'))),
  ...through('with a bad stack', `${gate(0xec, 'CODE')}\nmov dword ptr [TSS + 8], 0`),
  ...through('with a stack that is not present', `${gate(0xec, 'CODE')}\n${describe('FREE2', 0x13)}`
    + 'mov dword ptr [TSS + 8], FREE2'),
]

const others: readonly Experiment[] = [
  retf('with 4 bytes released', {}, 4),
  retf('to himself with 4 bytes released', { user: true, cs: 'USER32' }, 4),
  iret('leaves kernel data segments to the user as null',
    { before: 'mov eax, DATA_SEG\nmov fs, eax\nmov gs, eax' }),
  iret('leaves user data segments to the user',
    { before: 'mov eax, USER_DATA\nmov ds, eax\nmov fs, eax\nmov gs, eax' }),
  experiment('IRETW', lines(describe('FREE', 0x9b, 0xc, 0x10_0000), 'pushw 0x0cd7', 'pushw FREE',
    'mov eax, offset 1f - 0x100000', 'push ax', 'iretw\n1:')),
  experiment('far RET of 16 bits', lines(describe('FREE', 0x9b, 0xc, 0x10_0000), 'pushw FREE',
    'mov eax, offset 1f - 0x100000', 'push ax', 'data16 retf\n1:')),
  experiment('user: IRETD with NT and no task', 'USER\npush 0x4002\npopfd\niretd'),
]

const known: readonly Difference[] = [
  [/stack in data that is not present/, 'that is #SS (AMD APM 3, IRET); TCG says #NP', 'vector=c '],
  [/kernel: IRETD .*with VIF/, 'VIF is written at level 0 (AMD APM 3, IRET); TCG keeps it',
    'flags=80002 '],
  [/USER: far call through a gate to conforming/,
    'the RPL of CS is the present level; TCG takes the '
    + 'DPL', 'vector=7f ', 'frame0=a3'],
  [/jmp through a gate to code that is not present/, 'that is #NP (AMD APM 3, JMP)', 'vector=b '],
]

export const protectedTransfers = withKnown(
  [...returns, ...returnStacks, ...returnFlags, ...far, ...gates, ...others], known)
