/**
 * Real mode: interrupts, what is undefined there, the ways to protected mode and back.
 */
import {
  alone, type Difference, experiment, type Experiment, lines, withKnown,
} from '../experiment.ts'

function real(name: string, ...code: string[]): Experiment {
  return experiment(`real: ${name}`, lines(...code))
}

const plain: readonly (readonly [string, string])[] = [
  ['nothing happens', ''], ['INT', 'int 0x40'], ['INT3', 'int3'], ['INT 3', 'int 3'],
  ['INTO', 'mov al, 0x7f\nadd al, 1\ninto'], ['INTO without overflow', 'xor ax, ax\ninto'],
  ['UD2', 'ud2'], ['a division by zero', 'xor cx, cx\ndiv cx'],
  ['a quotient that does not fit', 'mov dx, 5\nmov cx, 3\ndiv cx'], ['AAM 0', '.byte 0xd4, 0'],
  ['BOUND beyond', 'mov dword ptr [REAL_DATA], 0x00050001\nmov ax, 9\nbound ax, [REAL_DATA]'],
  ['BOUND within', 'mov dword ptr [REAL_DATA], 0x00050001\nmov ax, 3\nbound ax, [REAL_DATA]'],
  ['flags that are pushed', 'push 0x0cd7\npopf\nint 0x40'],
  ['LLDT', 'xor ax, ax\nlldt ax'], ['LTR', 'xor ax, ax\nltr ax'], ['SLDT', 'sldt ax'],
  ['STR', 'str ax'], ['LAR', 'lar ax, ax'], ['LSL', 'lsl ax, ax'], ['VERR', 'verr ax'],
  ['VERW', 'verw ax'], ['ARPL', 'arpl ax, ax'], ['SMSW', 'smsw ax'], ['CLTS', 'clts'],
  ['SMSW of 32 bits', 'smsw eax'], ['LMSW of TS', 'mov ax, 8\nlmsw ax\nfld1'],
  ['FPU with TS', 'mov eax, cr0\nor al, 8\nmov cr0, eax\nfld1'],
  ['SGDT', 'sgdt [REAL_OUT]\nmov dword ptr [REAL_OUT + 2], 0'],
  ['SIDT', 'sidt [REAL_OUT]'], ['LIDT of 24 bits', 'mov word ptr [REAL_DATA], 0x3ff\n'
    + 'mov dword ptr [REAL_DATA + 2], 0xff000000\nlidt [REAL_DATA]\nint 0x40'],
  ['MOV from and to CR0', 'mov eax, cr0\nor eax, 2\nmov cr0, eax'],
  ['RDMSR', 'mov ecx, 0xc0000080\nrdmsr'], ['WBINVD', 'wbinvd'],
  ['SYSENTER', 'sysenter'], ['SYSCALL', 'syscall'], ['INVLPG', 'invlpg [0]'],
  ['CLAC', '.byte 0x0f, 1, 0xca'], ['POPF of everything', 'push 0x7fd7\nand word ptr [0xfefe], 0\n'
    + 'popf\npushf\npop ax\nand ax, 0xfeff\npush ax\npopf\npushf\npop cx\npush 2\npopf'],
  ['POPFD of everything', 'pushd 0x247cd5\npopfd\npushfd\npop eax\npush 2\npopf'],
  ['PUSHFD', 'pushfd\npop eax'], ['IOPL does not hold back CLI', 'push 0\npopf\nsti\ncli'],
  ['IRET', 'push 0x0cd7\npush LOW_SEGMENT\npush offset 1f\niret\n1:'],
  ['IRETD', 'pushd 0x40cd7\npushd LOW_SEGMENT\npushd offset 1f\niretd\n1:'],
  ['far CALL and RET',
    'lcall LOW_SEGMENT - 1, offset 1f + 16\njmp 2f\n1: mov bp, sp\nmov cx, [bp]\n'
    + 'mov dx, [bp + 2]\nretf\n2:'],
  ['far RET with bytes released', 'push 7\npush 8\npush LOW_SEGMENT\npush offset 1f\nretf 4\n1:'],
  ['far JMP', 'ljmp LOW_SEGMENT - 0x10, offset 1f + 0x100\n1:'],
  ['segments and their bases', 'mov ax, 0x3100\nmov es, ax\nmov byte ptr es:[0], 9\n'
    + 'mov cl, [REAL_DATA]'],
  ['POP to a segment', 'push 0x1234\npop fs\npush 0x4321\npop gs'],
  ['MOV to CS', '.byte 0x8e, 0xc8'], ['LDS', 'mov dword ptr [REAL_DATA], 0x56781234\n'
    + 'lds bx, [REAL_DATA]\nmov ax, ds'],
  ['an address above 1 MiB',
    'mov ax, 0xffff\nmov es, ax\nmov al, es:[0x20]\nmov dword ptr es:[0x1010], 5\n'
    + 'xor eax, eax'],
  ['IP wraps in near jumps', 'jmp 1f\n1: nop'],
  ['PUSH of 32 bits', 'push eax\npop cx\npop dx'],
  ['PUSHA and POPA', 'pusha\npopa'], ['ENTER and LEAVE', 'enter 8, 2\nleave'],
  ['HLT is allowed, so is OUT', 'out 0x80, al'],
  ['LOCK before what cannot be locked', '.byte 0xf0, 0x89, 0xc0'],
  ['an instruction of 16 bytes', '.byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,'
    + '0x66,0x66,0x66,0x66,0x90'],
  ['a vector beyond the limit is a shutdown', 'mov word ptr [REAL_DATA], 0\n'
    + 'mov dword ptr [REAL_DATA + 2], 0\nlidt [REAL_DATA]\nint 0x40'],
  ['the experiment after a shutdown', ''],
]

const stepped: readonly Experiment[] = [
  real('steps', 'TRACE 7',
    'pushf\npop ax\nor ah, 1\npush ax\npopf\nnop\ninc cx\npush 2\npopf\nnop'),
  real('steps over MOV SS', 'TRACE 7', 'mov cx, ss\npushf\npop ax\nor ah, 1\npush ax\npopf\n'
    + 'mov ss, cx\nnop\nnop\npush 2\npopf'),
  real('a step into INT is not taken', 'pushf\npop ax\nor ah, 1\npush ax\nTRACE 1\npopf\nint 0x40'),
  real('a data breakpoint', 'TRACE 4', 'mov eax, REAL + REAL_DATA\nmov dr0, eax\n'
    + 'mov eax, 0x10401\nmov dr7, eax', 'mov byte ptr [REAL_DATA], 1\nnop',
    'mov eax, 0x400\nmov dr7, eax'),
  real('faults and goes on', 'RESUME 1f\nud2\nnop\n1: mov cx, 5'),
  real('code that changes itself', 'mov byte ptr cs:[1f + 1], 9\n1: mov al, 1'),
]


const modes: readonly Experiment[] = [
  real('protected mode and back', 'mov eax, cr0\nor al, 1\nmov cr0, eax\njmp 1f\n1: mov ecx, cr0',
    'and al, 0xfe\nmov cr0, eax'),
  real('LMSW enters, and cannot leave', 'smsw ax\nor al, 1\nlmsw ax\nmov ecx, cr0\nand al, 0xfe\n'
    + 'lmsw ax\nmov edx, cr0\nmov eax, edx\nand al, 0xfe\nmov cr0, eax'),
  real('segments keep their limit from protected mode', 'data32 lgdt cs:[low_gdt]',
    'mov eax, cr0\nor al, 1\nmov cr0, eax\nmov bx, DATA_SEG\nmov fs, bx\nand al, 0xfe\n'
      + 'mov cr0, eax',
    'mov bx, 0\nmov fs, bx', 'mov dword ptr fs:[DATA], 0x12345678\nmov ecx, fs:[DATA]'),
  real('the base of FS from protected mode stays', 'data32 lgdt cs:[low_gdt]',
    'mov eax, cr0\nor al, 1\nmov cr0, eax\nmov bx, CODE16\nmov fs, bx\nand al, 0xfe\nmov cr0, eax',
    'mov ax, fs\nmov cl, fs:[0]\nmov byte ptr [REAL_OUT], cl'),
  real('an interrupt in protected mode without a table is a shutdown', 'mov eax, cr0\nor al, 1',
    'mov word ptr [REAL_DATA], 0\nlidt [REAL_DATA]\nmov cr0, eax\nint 0x40'),
  real('the experiment after that', ''),
  real('CR0.PG without PE is #GP', 'mov eax, 0x80000010\nmov cr0, eax'),
]

const OUTSIDE = 'TCG checks no limits'
const limits: readonly Experiment[] = [
  ['a word at FFFF', 'mov ax, [bx]', 'mov bx, 0xffff', 'vector=d '],
  ['a doubleword at FFFD', 'mov eax, [bx]', 'mov bx, 0xfffd', 'vector=d '],
  ['a store at FFFF', 'mov [bx], ax', 'mov bx, 0xffff', 'vector=d '],
  ['a 32-bit address above 64 KiB', 'mov al, [ebx]', 'mov ebx, 0x10000', 'vector=d '],
  ['a stack access at FFFF', 'mov ax, [bp]', 'mov bp, 0xffff', 'vector=c '],
].map(([name, code, before, expected]) =>
  alone(`real: ${name}`, lines(before!, code!), OUTSIDE, expected!))

const known: readonly Difference[] = [
  [/LOCK before/, 'there is no such instruction (AMD APM 3); TCG has it', 'vector=6 '],
  [/CR0.PG without PE/, 'TCG checks no value of CR0', 'vector=d '],
]

export const realMode = withKnown(
  [...plain.map(([name, code]) => real(name, code)), ...stepped, ...modes, ...limits], known)
