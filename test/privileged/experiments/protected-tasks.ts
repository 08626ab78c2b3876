/**
 * Tasks: switches by JMP, CALL, IRET, gates and exceptions, of 32 and 16 bits, and their faults.
 */
import {
  describe, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'
import { gateOf } from './protected-delivery.ts'

function task(name: string, ...code: string[]): Experiment {
  return experiment(`task: ${name}`, lines(...code))
}

const CALL = 'call TSS2_SEL:0'
const JMP = 'jmp TSS2_SEL:0'

/** A field of the second task. */
function field(offset: number, value: string): string {
  return `mov dword ptr [TSS2 + ${offset}], ${value}`
}

/** A task gate in the table of descriptors. */
function taskGate(selector: string, access = 0x85): string {
  return lines('mov dword ptr [GDT + FREE], 0', `mov word ptr [GDT + FREE + 2], ${selector}`,
    `mov dword ptr [GDT + FREE + 4], ${hex(access << 8)}`)
}

const SHOW_TYPES = 'mov eax, [GDT + TSS_SEL + 4]\nmov ecx, [GDT + TSS2_SEL + 4]'

const ways: readonly Experiment[] = [
  task('CALL', CALL),
  task('JMP', JMP),
  task('CALL with all flags', 'push 0x240cd7\npopfd', CALL),
  task('user: CALL', 'USER', CALL),
  task('user: CALL to a TSS of level 3', 'mov byte ptr [GDT + TSS2_SEL + 5], 0xe9', 'USER', CALL),
  task('CALL with RPL 3', 'call TSS2_SEL + 3:0'),
  task('CALL through a gate', taskGate('TSS2_SEL'), 'call FREE:0'),
  task('JMP through a gate', taskGate('TSS2_SEL'), 'jmp FREE:0'),
  task('user: CALL through a gate of level 3', taskGate('TSS2_SEL', 0xe5), 'USER', 'call FREE:0'),
  task('user: CALL through a gate of level 0', taskGate('TSS2_SEL'), 'USER', 'call FREE:0'),
  task('CALL through a gate that is not present', taskGate('TSS2_SEL', 5), 'call FREE:0'),
  task('CALL through a gate to null', taskGate('0'), 'call FREE:0'),
  task('CALL through a gate to data', taskGate('DATA_SEG'), 'call FREE:0'),
  task('CALL through a gate to an LDT', taskGate('4'), 'call FREE:0'),
  task('INT through a task gate', gateOf(0x40, { access: 0xe5, selector: 'TSS2_SEL' }), 'int 0x40'),
  task('user: INT through a task gate', gateOf(0x40, { access: 0xe5, selector: 'TSS2_SEL' }),
    'USER', 'int 0x40'),
  task('user: INT through a task gate of level 0',
    gateOf(0x40, { access: 0x85, selector: 'TSS2_SEL' }), 'USER', 'int 0x40'),
  task('#UD through a task gate', gateOf(6, { access: 0x85, selector: 'TSS2_SEL' }), 'ud2'),
  task('user: #UD through a task gate', gateOf(6, { access: 0x85, selector: 'TSS2_SEL' }),
    'USER', 'ud2'),
  task('#GP with its error code through a task gate',
    gateOf(13, { access: 0x85, selector: 'TSS2_SEL' }), 'int 0x20'),
  task('#DF through a task gate', gateOf(8, { access: 0x85, selector: 'TSS2_SEL' }),
    gateOf(0, { access: 0x0e }), 'xor ecx, ecx', 'div ecx'),
  task('#DF through a task gate, from a bad stack',
    gateOf(8, { access: 0x85, selector: 'TSS2_SEL' }),
    describe('FREE', 0x97), 'mov eax, FREE\nmov ss, eax\nud2'),
  task('#UD through a task gate to a TSS that is not present',
    'mov byte ptr [GDT + TSS2_SEL + 5], 9', gateOf(6, { access: 0x85, selector: 'TSS2_SEL' }),
    'ud2'),
  task('#UD through a task gate to a busy TSS',
    'mov byte ptr [GDT + TSS2_SEL + 5], 0x8b', gateOf(6, { access: 0x85, selector: 'TSS2_SEL' }),
    'ud2'),
]

/** The second task runs code of the experiment. */
function running(...code: string[]): string {
  return lines(field(32, 'offset 3f'), CALL, 'jmp 4f', '3:', ...code, '4:')
}

const BACK = 'iretd'

const returning: readonly Experiment[] = [
  task('CALL and IRET', running(BACK), SHOW_TYPES),
  task('CALL, IRET, and the second time behind the IRET', field(32, 'offset 3f'),
    CALL, CALL, SHOW_TYPES, 'jmp 4f', '3: inc eax', BACK, 'inc eax', BACK, '4:'),
  task('JMP to and fro', field(32, 'offset 3f'), JMP, SHOW_TYPES, 'jmp 4f', '3: jmp TSS_SEL:0',
    '4:'),
  task('CALL of itself', 'call TSS_SEL:0'),
  task('JMP to itself', 'jmp TSS_SEL:0'),
  task('a busy task', 'mov byte ptr [GDT + TSS2_SEL + 5], 0x8b', CALL),
  task('IRET with NT to a task that is not busy', 'mov word ptr [TSS], TSS2_SEL',
    'push 0x4002\npopfd', BACK),
  task('IRET with NT and a null link', 'push 0x4002\npopfd', BACK),
  task('IRET with NT and a link to data', 'mov word ptr [TSS], DATA_SEG', 'push 0x4002\npopfd',
    BACK),
  task('IRET with NT and a link to an LDT', 'mov word ptr [TSS], 4', 'push 0x4002\npopfd', BACK),
  task('IRET with NT and a link beyond the table', 'mov word ptr [TSS], 0x400',
    'push 0x4002\npopfd', BACK),
  task('IRET with NT to a busy task', 'mov word ptr [TSS], TSS2_SEL',
    'mov byte ptr [GDT + TSS2_SEL + 5], 0x8b', 'push 0x4002\npopfd', BACK),
  task('IRET with NT from the user', 'mov word ptr [TSS], TSS2_SEL',
    'mov byte ptr [GDT + TSS2_SEL + 5], 0x8b', 'USER', 'push 0x4002\npopfd', BACK),
  task('IRET that drops NT', running('pushfd', 'and dword ptr [esp], ~0x4000', 'popfd',
    'push 2', 'push CODE', 'push offset 5f', 'iretd', '5:'), SHOW_TYPES),
]

const loaded: readonly Experiment[] = [
  ...[['ES', 72], ['CS', 76], ['SS', 80], ['DS', 84], ['FS', 88], ['GS', 92]].flatMap(
    ([name, at]) =>
    ([
      ['null', '0', ''], ['null with RPL 3', '3', ''], ['beyond the table', '0x400', ''],
      ['kernel data', 'DATA_SEG', ''], ['user data', 'USER_DATA', ''], ['code', 'CODE', ''],
      ['user code', 'USER32', ''], ['a TSS', 'TSS2_SEL', ''],
      ['not present code', 'FREE', describe('FREE', 0x1b)],
      ['not present data', 'FREE', describe('FREE', 0x13)],
      ['read-only data', 'FREE', describe('FREE', 0x90)],
      ['execute-only code', 'FREE', describe('FREE', 0x98)],
      ['conforming code', 'FREE', describe('FREE', 0x9e)],
      ['conforming code of level 3', 'FREE + 3', describe('FREE', 0xfe)],
    ] as const).map(([what, selector, before]) =>
      task(`${name} is ${what}`, 'THIRD_TASK', before, field(Number(at), selector), JMP))),
  task('LDT is an LDT', field(96, 'LDT_SEL'), 'mov dword ptr [LDT + 8], 0x0000ffff',
    'mov dword ptr [LDT + 12], 0x00cf9300', field(84, '0xc'), JMP),
  task('LDT is null, DS is in it', 'THIRD_TASK', field(84, '0xc'), JMP),
  task('LDT is a TSS', 'THIRD_TASK', field(96, 'TSS_SEL'), JMP),
  task('LDT is in an LDT', 'THIRD_TASK', field(96, '4'), JMP),
  task('LDT is beyond the table', 'THIRD_TASK', field(96, '0x400'), JMP),
  task('LDT is not present', 'THIRD_TASK', 'mov byte ptr [GDT + LDT_SEL + 5], 2',
    field(96, 'LDT_SEL'), JMP),
  task('to level 3', field(76, 'USER32'), field(80, 'USER_DATA'), field(72, 'USER_DATA'),
    field(84, 'USER_DATA'), field(32, 'offset 3f'), JMP, '3: mov eax, cs\nint OPEN'),
  task('to level 3 with a stack of level 0', 'THIRD_TASK', field(76, 'USER32'),
    field(32, 'offset 3f'), JMP, '3:'),
  task('to virtual-8086 mode', field(36, '0x23002'), field(32, '0x8000'), field(76, 'LOW_SEGMENT'),
    field(80, 'LOW_SEGMENT'), field(56, '0xff00'), 'mov dword ptr [LOW + 0x8000], 0x7fcd', JMP),
  task('EIP beyond the limit of CS', 'THIRD_TASK', describe('FREE', 0x9b, 4, 0, 0xffff),
    field(76, 'FREE'), JMP),
  task('all flags', field(36, '0x247fd7'), JMP),
  task('TF', field(36, '0x102'), 'TRACE 3', field(32, 'offset 3f'), JMP, '3: nop\nnop'),
  task('the T bit', field(100, '0x680001'), JMP),
]

const segments: readonly Experiment[] = [
  task('a TSS that is not present', 'mov byte ptr [GDT + TSS2_SEL + 5], 9', CALL),
  task('a TSS of 103 bytes', 'mov word ptr [GDT + TSS2_SEL], 0x66', CALL),
  task('a TSS of 104 bytes', 'mov word ptr [GDT + TSS2_SEL], 0x67', CALL),
  task('a TSS of type 0', 'mov byte ptr [GDT + TSS2_SEL + 5], 0x80', CALL),
  task('the old TSS is too short', 'mov word ptr [GDT + TSS_SEL], 0x50',
    'mov byte ptr [GDT + TSS_SEL + 5], 0x89', 'mov eax, TSS_SEL\nltr ax', CALL),
  task('breakpoints of one task end', 'mov eax, DATA\nmov dr0, eax\nmov eax, 0xd0403\nmov dr7, eax',
    field(32, 'offset 3f'), JMP, '3: mov eax, dr7'),
  task('CR0.TS is set, and FPU faults', running('fld1')),
  task('the task before keeps its EFLAGS', 'push 0x246\npopfd', running('mov eax, [TSS + 36]')),
  task('CR3 is loaded under paging', 'PAGING', field(28, 'PD32 + 8'), running('mov eax, cr3')),
  task('CR3 is not loaded without paging', field(28, '0x1234000'), running('mov eax, cr3')),
  task('CR3 is not saved', 'PAGING', field(28, 'PD32'), running('mov eax, [TSS + 28]')),
  task('the new TSS is in no page', 'PAGING',
    'mov dword ptr [GDT + TSS2_SEL + 2], 0x89000000 + (WINDOW >> 8 & 0xffff00)',
    'mov byte ptr [GDT + TSS2_SEL + 7], WINDOW >> 24', 'mov dword ptr [PT32], 0', CALL),
]

/** A TSS of 16 bits in place of the second. */
const TSS16 = lines('mov byte ptr [GDT + TSS2_SEL + 5], 0x81', 'mov word ptr [GDT + TSS2_SEL], 43',
  'mov edi, TSS2\nxor eax, eax\nmov ecx, 26\nrep stosd',
  'mov eax, offset task_entry - 0x100000\nmov [TSS2 + 14], ax', 'mov word ptr [TSS2 + 16], 2',
  ...[0, 1, 2, 3, 5, 6, 7].map((i) => `mov word ptr [TSS2 + ${18 + i * 2}], ${hex(0xe0e0 + i)}`),
  'mov word ptr [TSS2 + 26], 0x1fc0', describe('FREE', 0x9b, 0xc, 0x10_0000),
  describe('FREE2', 0x93, 0, 0x21_6000, 0xffff), 'mov word ptr [TSS2 + 34], DATA_SEG',
  'mov word ptr [TSS2 + 36], FREE', 'mov word ptr [TSS2 + 38], FREE2',
  'mov word ptr [TSS2 + 40], DATA_SEG')

const old: readonly Experiment[] = [
  task('JMP to a TSS of 16 bits', TSS16, JMP),
  task('CALL of a TSS of 16 bits', TSS16, CALL),
  task('a TSS of 16 bits that is too short', TSS16, 'mov word ptr [GDT + TSS2_SEL], 42', CALL),
  task('CALL of a TSS of 16 bits, and IRET', TSS16, 'mov eax, offset 3f - 0x100000',
    'mov [TSS2 + 14], ax', CALL, 'jmp 4f', '3: iretd', '4:'),
  task('from a TSS of 16 bits', TSS16, 'mov eax, offset 3f - 0x100000', 'mov [TSS2 + 14], ax', CALL,
    'mov eax, [TSS2 + 14]\nmov ecx, [TSS2 + 18]\nmov edx, [TSS2 + 36]', 'jmp 4f',
    '3: mov eax, 0x12345678\nmov ecx, 0x9abcdef0\niretd', '4:'),
]

const known: readonly Difference[] = [
  [/gate to an LDT/, 'that is #GP (SDM 2A, CALL); TCG says #TS', 'vector=d '],
  [/from a bad stack/, 'TCG checks no limits', 'vector=200 '],
  [/(ES|CS|SS|DS|FS|GS|LDT) is|stack of level 0|EIP beyond/, 'TCG mixes the old EIP with the new',
    'vector=201 '],
  [/the T bit/, 'TCG knows no T bit', 'vector=1 ', 'dr6=ffff8ff0 '],
]

export const protectedTasks = withKnown(
  [...ways, ...returning, ...loaded, ...segments, ...old], known)
