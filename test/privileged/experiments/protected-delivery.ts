/**
 * Exceptions and interrupts in 32-bit protected mode: gates, stacks, double faults.
 */
import {
  describe, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

function both(name: string, code: string, before = ''): Experiment[] {
  return [
    experiment(`kernel: ${name}`, lines(before, code)),
    experiment(`user: ${name}`, lines(before, 'USER', code)),
  ]
}

interface GateChange {
  readonly selector?: string
  readonly access?: number
  readonly offset?: string
}

/** Changes of a vector's gate. */
export function gateOf(vector: number, { selector, access, offset }: GateChange): string {
  const at = `IDT + 8 * ${vector}`
  return lines(
    selector === undefined ? '' : `mov word ptr [${at} + 2], ${selector}`,
    access === undefined ? '' : `mov byte ptr [${at} + 5], ${hex(access)}`,
    offset === undefined ? '' : `push eax\nmov eax, ${offset}\nmov [${at}], ax\nshr eax, 16\n`
      + `mov [${at} + 6], ax\npop eax\ncmp eax, eax`)
}

const raised: readonly Experiment[] = [
  ...both('nothing happens', ''),
  ...both('a division by zero', 'xor ecx, ecx\ndiv ecx'),
  ...both('UD2', 'ud2'),
  ...both('INT3', 'nop\nint3'),
  ...both('INT 3', '.byte 0xcd, 3'),
  ...both('INT of an open gate', 'int OPEN'),
  ...both('INT of an open trap gate', 'int OPEN_TRAP'),
  ...both('INT of a closed gate', 'int 0x20'),
  ...both('INT of an exception with error code', 'int 13'),
  ...both('INTO with overflow', 'mov al, 0x7f\nadd al, 1\ninto'),
  ...both('INTO without overflow', 'xor eax, eax\ninto'),
  ...both('BOUND beyond', 'mov dword ptr [esp - 8], 1\nmov dword ptr [esp - 4], 9\nmov eax, 10\n'
    + 'bound eax, [esp - 8]'),
  ...both('AAM 0', '.byte 0xd4, 0'),
  ...both('a flag that is pushed', 'pushfd\nor dword ptr [esp], 0x240cd5\npopfd\nint OPEN'),
  ...both('FPU with CR0.TS', 'fld1', 'mov eax, 0x5003b\nmov cr0, eax'),
  ...both('SYSCALL', 'syscall'),
  ...both('SYSENTER', 'sysenter'),
  ...both('SYSENTER with a null selector', 'sysenter',
    'mov ecx, 0x174\nxor eax, eax\nxor edx, edx\nwrmsr'),
  ...both('SYSEXIT', 'mov edx, offset 1f\nmov ecx, USER_STACK\nsysexit\n1:'),
  ...both('SYSRET', 'mov ecx, offset 1f\nmov esp, USER_STACK\n.byte 0x0f, 7\n1:'),
]

function types(): Experiment[] {
  const all: Experiment[] = []
  for (let type = 0; type < 32; type++) {
    // A task gate would need a task, and gates of 16 bits handlers below 64 KiB.
    if (type >= 5 && type <= 7) continue
    const gate = gateOf(0x40, { access: 0xe0 | type })
    all.push(experiment(`INT through a gate with type bits ${hex(type)}`, `${gate}\nint 0x40`))
  }
  for (let dpl = 0; dpl < 4; dpl++) {
    for (const present of [0x80, 0]) {
      const what = `${present ? 'a' : 'a missing'} gate of DPL ${dpl}`
      const access = present | 0x0e | dpl << 5
      all.push(
        experiment(`user: INT through ${what}`, `${gateOf(0x40, { access })}\nUSER\nint 0x40`),
        experiment(`user: UD2 through ${what}`, `${gateOf(6, { access })}\nUSER\nud2`))
    }
  }
  return all
}

const targets: readonly (readonly [string, string, string])[] = [
  ['null', '0', ''], ['null with RPL 3', '3', ''], ['beyond the table', '0x400', ''],
  ['in an LDT that is not there', '4', ''], ['data', 'DATA_SEG', ''], ['a TSS', 'TSS2_SEL', ''],
  ['not present', 'FREE', describe('FREE', 0x1b)], ['not accessed', 'FREE', describe('FREE', 0x98)],
  ['with RPL 3', 'CODE + 3', ''], ['conforming', 'FREE', describe('FREE', 0x9f)],
  ['of level 1', 'FREE', lines(describe('FREE', 0xbb), describe('FREE2', 0xb3))],
  ['of level 3', 'FREE', describe('FREE', 0xfb)],
  ['conforming and of level 3', 'FREE', describe('FREE', 0xff)],
]

const throughTargets = targets.flatMap(([name, selector, before]) => [
  ...both(`INT to code that is ${name}`, 'int 0x40',
    lines(before, gateOf(0x40, { selector, access: 0xee }))),
  ...both(`#UD to code that is ${name}`, 'ud2', lines(before, gateOf(6, { selector }))),
])

/** Stacks for level 0 that the TSS names. */
const inner: readonly (readonly [string, string])[] = [
  ['null', 'mov dword ptr [TSS + 8], 0'],
  ['null with RPL 3', 'mov dword ptr [TSS + 8], 3'],
  ['beyond the table', 'mov dword ptr [TSS + 8], 0x400'],
  ['code', 'mov dword ptr [TSS + 8], CODE'],
  ['data of level 3', 'mov dword ptr [TSS + 8], USER_DATA'],
  ['data with RPL 3', 'mov dword ptr [TSS + 8], DATA_SEG + 3'],
  ['data that is read-only', `${describe('FREE', 0x91)}mov dword ptr [TSS + 8], FREE`],
  ['data that is not present', `${describe('FREE', 0x13)}mov dword ptr [TSS + 8], FREE`],
  ['data that is not accessed', `${describe('FREE', 0x92)}mov dword ptr [TSS + 8], FREE`],
  ['16-bit data', `${describe('FREE', 0x93, 0, 0x21_0000, 0xffff)}mov dword ptr [TSS + 8], FREE\n`
    + 'mov dword ptr [TSS + 4], 0x77771fc0'],
  ['data with a base', `${describe('FREE', 0x93, 0xc, 0x10_0000)}mov dword ptr [TSS + 8], FREE\n`
    + 'sub dword ptr [TSS + 4], 0x100000'],
  ['a TSS that is too short', 'mov word ptr [GDT + TSS_SEL], 7\n'
    + 'mov byte ptr [GDT + TSS_SEL + 5], 0x89\nmov eax, TSS_SEL\nltr ax'],
  ['a TSS that just holds it', 'mov word ptr [GDT + TSS_SEL], 9\n'
    + 'mov byte ptr [GDT + TSS_SEL + 5], 0x89\nmov eax, TSS_SEL\nltr ax'],
  ['a TSS of 16 bits', 'mov byte ptr [GDT + TSS_SEL + 5], 0x81\nmov eax, TSS_SEL\nltr ax\n'
    + 'mov dword ptr [TSS + 2], 0x101fc0\nmov word ptr [TSS + 4], FREE\n'
    + describe('FREE', 0x93, 0xc, 0x21_0000)],
]

const stacks = inner.flatMap(([name, before]) => [
  experiment(`the stack of level 0 is ${name}`, `${before}\nUSER\nud2`),
  experiment(`the stack of level 0 is ${name}, for INT`, `${before}\nUSER\nint OPEN`),
])

const gates16: readonly Experiment[] = [
  ...both('INT through an interrupt gate of 16 bits', 'int 0x40', lines(
    gateOf(0x40, { access: 0xe6, selector: 'FREE', offset: 'offset stubs + 16 * 0x40 - 0x100000' }),
    describe('FREE', 0x9b, 0xc, 0x10_0000))),
  ...both('INT through a trap gate of 16 bits', 'int 0x40', lines(
    gateOf(0x40, { access: 0xe7, selector: 'FREE', offset: 'offset stubs + 16 * 0x40 - 0x100000' }),
    describe('FREE', 0x9b, 0xc, 0x10_0000))),
  experiment('a fault with error code through a gate of 16 bits', lines(
    gateOf(13, { access: 0x86, selector: 'FREE', offset: 'offset stubs + 16 * 13 - 0x100000' }),
    describe('FREE', 0x9b, 0xc, 0x10_0000), 'USER\nint 0x20')),
  experiment('a table at an odd address', 'mov esi, IDT\nmov edi, DATA + 1\nmov ecx, 512\n'
    + 'rep movsd\nlidt [1f]\nud2\n1: .word 0x7ff\n.long DATA + 1'),
]

const NO_GP = gateOf(13, { access: 0 })
const doubles: readonly Experiment[] = [
  ...both('#UD without a gate is #NP of its entry', 'ud2', gateOf(6, { access: 0x0e })),
  ...both('#UD with a bad gate is #GP of its entry', 'ud2', gateOf(6, { access: 0 })),
  ...both('#GP without a gate is a double fault', 'int 0x20',
    lines(NO_GP, gateOf(0x20, { access: 0 }))),
  ...both('#DE without a gate, and then #NP, is a double fault', 'xor ecx, ecx\ndiv ecx',
    gateOf(0, { access: 0x0e })),
  ...both('#GP and then #NP are a double fault', 'int 0x20',
    lines(gateOf(13, { access: 0x0e }), gateOf(0x20, { access: 0 }))),
  ...both('#DF without a gate is a shutdown', 'xor ecx, ecx\ndiv ecx',
    lines(gateOf(0, { access: 0x0e }), gateOf(8, { access: 0 }))),
  experiment('the experiment after a shutdown', ''),
  experiment('an empty table is a shutdown', 'lidt [1f]\nud2\n1: .word 0\n.long 0'),
  experiment('#TS in the delivery of #DE is a double fault', 'mov dword ptr [TSS + 8], 0\nUSER\n'
    + 'xor ecx, ecx\ndiv ecx'),
]

const known: readonly Difference[] = [
  [/a TSS that just holds it, for INT/, 'six bytes of the stack\'s address are enough (SDM 2A, INT '
    + 'n)', 'vector=7d '],
  [/a TSS that just holds it/, 'six bytes of the stack\'s address are enough (SDM 2A, INT n)',
    'vector=6 '],
]

export const protectedDelivery = withKnown(
  [...raised, ...types(), ...throughTargets, ...stacks, ...gates16, ...doubles], known)
