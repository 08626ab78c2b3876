/**
 * Virtual-8086 mode: the way in, the way out, and what it may do under which IOPL.
 */
import {
  type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

/** Runs 16-bit code in virtual-8086 mode. */
function v86(name: string, code: string, flags = 0x3002, before = ''): Experiment {
  return experiment(`v86: ${name}`, lines(before, 'mov edi, LOW + 0x9000',
    'push 0x6666', 'push 0x5555', 'push LOW_SEGMENT', 'push LOW_SEGMENT + 0x10',
    'push LOW_SEGMENT', 'push 0xff00', `push ${hex(0x2_0000 | flags)}`, 'push LOW_SEGMENT',
    'push offset 8f', 'iretd', '.section .low, "ax"', '.code16', '8:', code, 'int DONE_VECTOR',
    '.text', '.code32'))
}

function underBoth(name: string, code: string, before = ''): Experiment[] {
  return [
    v86(`${name}, IOPL 3`, code, 0x3002, before), v86(`${name}, IOPL 0`, code, 2, before),
  ]
}

const instructions: readonly (readonly [string, string])[] = [
  ['nothing', ''], ['INT of a closed gate', 'int 0x20'], ['INT of an open gate', 'int OPEN'],
  ['INT3', 'int3'], ['INTO', 'mov al, 0x7f\nadd al, 1\ninto'], ['UD2', 'ud2'],
  ['a division by zero', 'xor cx, cx\ndiv cx'], ['CLI', 'cli'], ['STI', 'sti\nnop\ncli'],
  ['PUSHF', 'pushf\npop ax'], ['PUSHFD', 'pushfd\npop eax'],
  ['POPF of everything', 'mov ax, 0xffd5\nand ax, 0xfcff\npush ax\npopf'],
  ['POPFD of everything', 'mov eax, 0x267cd5\npush eax\npopfd'],
  ['IRET', 'pushf\npush LOW_SEGMENT\npush offset 1f\niret\n1:'],
  ['IRETD', 'pushfd\npushd LOW_SEGMENT\npushd offset 1f\niretd\n1:'],
  ['IRET with other flags', 'push 0x4cd7\npush LOW_SEGMENT\npush offset 1f\niret\n1:'],
  ['IN', 'in al, 0x80\nxor ax, ax'], ['OUT', 'out 0x80, al'], ['HLT', 'hlt'], ['CLTS', 'clts'],
  ['LGDT', 'lgdt [0x9000]'], ['LIDT', 'lidt [0x9000]'], ['SGDT', 'sgdt [0x9000]'],
  ['LLDT', 'lldt ax'], ['STR', 'str ax'], ['SLDT', 'sldt ax'], ['LAR', 'lar ax, ax'],
  ['LSL', 'lsl ax, ax'], ['VERR', 'verr ax'], ['ARPL', 'arpl ax, ax'], ['SMSW', 'smsw ax'],
  ['LMSW', 'lmsw ax'], ['MOV from CR0', 'mov eax, cr0'], ['MOV to CR0', 'mov cr0, eax'],
  ['MOV from DR7', 'mov eax, dr7'], ['RDMSR', 'rdmsr'], ['WBINVD', 'wbinvd'],
  ['RDTSC', 'rdtsc\nxor ax, ax\nxor eax, eax\nxor edx, edx'], ['CPUID', 'xor eax, eax\ncpuid\n'
    + 'xor eax, eax\nxor ecx, ecx\nxor edx, edx\nxor ebx, ebx'],
  ['MOV to DS', 'mov ax, 0x1234\nmov ds, ax'], ['MOV to SS', 'mov ax, LOW_SEGMENT + 1\nmov ss, ax'],
  ['POP to ES', 'push 0x4321\npop es'],
  ['LDS', 'mov dword ptr [0x9000], 0x56781234\nlds bx, [0x9000]'],
  ['far JMP', 'ljmp LOW_SEGMENT - 1, offset 1f + 16\n1:'],
  ['far CALL and RET', 'lcall LOW_SEGMENT - 1, offset 1f + 16\njmp 2f\n1: retf\n2:'],
  ['addresses wrap in the segment', 'mov word ptr [0xfffe], 7\nmov bx, 0xffff\nmov al, [bx - 1]'],
  ['32-bit address within', 'mov eax, 0x9000\nmov byte ptr [eax], 9\nmov cl, [0x9000]'],
  ['SYSENTER', 'sysenter'], ['BOUND', 'mov dword ptr [0x9000], 0x00050001\nmov ax, 9\n'
    + 'bound ax, [0x9000]'],
  ['PUSH of segments', 'push ds\npush es\npush fs\npush gs\npop ax\npop bx\npop cx\npop dx'],
]

const doing = instructions.flatMap(([name, code]) => underBoth(name, code))

const entering: readonly Experiment[] = [
  v86('all flags', '', 0x24_7cd7),
  v86('IF', 'cli', 0x3202),
  v86('NT', '', 0x7002),
  v86('RF', '', 0x1_3002),
  v86('VIF and VIP', '', 0x18_3002),
  v86('steps', 'nop\ninc ax\nnop', 0x3102, 'TRACE 10'),
  v86('a breakpoint by linear address', 'mov byte ptr [0x9000], 5\nnop', 0x3002, lines('TRACE 4',
    'mov eax, LOW + 0x9000\nmov dr0, eax\nmov eax, 0x10401\nmov dr7, eax')),
  v86('a gate to level 3', 'int 0x40', 0x3002, lines(
    'mov word ptr [IDT + 8 * 0x40 + 2], FREE\nmov byte ptr [IDT + 8 * 0x40 + 5], 0xee',
    'DESCRIBE FREE, 0xffff, 0xcffb00')),
  v86('a gate to conforming code', 'int 0x40', 0x3002, lines(
    'mov word ptr [IDT + 8 * 0x40 + 2], FREE\nmov byte ptr [IDT + 8 * 0x40 + 5], 0xee',
    'DESCRIBE FREE, 0xffff, 0xcf9f00')),
  v86('a gate of 16 bits', 'int 0x40', 0x3002, lines(
    'mov eax, offset stubs + 16 * 0x40 - 0x100000\nmov [IDT + 8 * 0x40], ax',
    'mov word ptr [IDT + 8 * 0x40 + 6], 0',
    'mov word ptr [IDT + 8 * 0x40 + 2], FREE\nmov byte ptr [IDT + 8 * 0x40 + 5], 0xe6',
    'DESCRIBE FREE, 0xffff, 0x00cf9b10')),
  v86('ports of the bitmap', 'out 0x80, al\nout 0x81, al', 0x3002,
    'mov dword ptr [TSS + 0x68 + 0x10], 0xfffffffe'),
  v86('the kernel returns to it', 'nop', 0x3002, lines('RESUME 9f', '.section .low, "ax"',
    '9: .code16\nint3\n.text\n.code32')),
  v86('an interrupt from outside', 'sti\nnop\nnop', 0x3002, ''),
  experiment('v86: entered from level 3: not', lines('USER', 'push 0', 'push 0', 'push 0', 'push 0',
    'push USER_DATA', 'push USER_STACK', 'push 0x20002', 'push USER32', 'push offset 1f',
    'iretd\n1:')),
  experiment('v86: EIP above 64 KiB', lines('push 0', 'push 0', 'push 0', 'push 0',
    'push LOW_SEGMENT', 'push 0xff00', 'push 0x23002', 'push LOW_SEGMENT', 'push 0x12345',
    'iretd')),
  experiment('v86: POPFD does not set VM', 'push 0x20002\npopfd\npushfd\npop eax'),
]

const known: readonly Difference[] = [
  [/entered from level 3/, 'VM is for level 0 only (AMD APM 3, IRET); TCG enters', 'vector=7f '],
  [/EIP above/, 'that is #GP (AMD APM 3, IRET); TCG cuts it', 'vector=d '],
]

export const protectedV86 = withKnown([...doing, ...entering], known)
