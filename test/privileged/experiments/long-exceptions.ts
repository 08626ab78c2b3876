/**
 * Exceptions in long mode: who raises what, and in which kind of code.
 */
import {
  apart, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

/** The same in each kind of code; `before` is done by the kernel in 64-bit code. */
function everywhere(name: string, code: string, before = ''): Experiment[] {
  return [
    experiment(`kernel: ${name}`, lines(before, code)),
    experiment(`user: ${name}`, lines(before, 'USER64', code)),
    experiment(`32-bit user: ${name}`, lines(before, 'USER32', code)),
    experiment(`32-bit kernel: ${name}`, lines(before, 'KERNEL32', code)),
  ]
}

function cr0(value: number): string {
  return `mov eax, ${hex(value)}\nmov cr0, rax`
}

function cr4(value: number): string {
  return `mov eax, ${hex(value)}\nmov cr4, rax`
}

const X87_ERROR = 'push 0x37b\nfldcw [esp]\nfldz\nfld1\nfdivrp st(1), st\nnop\n'
const SSE_ERROR = 'push 0x1d80\nldmxcsr [esp]\nxorps xmm0, xmm0\nmov eax, 1\n'
  + 'cvtsi2ss xmm1, eax\ndivss xmm1, xmm0\n'
const BRANCH_FAULTS = 'a branch to nowhere faults itself (AMD APM 3, JMP); TCG arrives there'
const TS = 0x8005003b
const EM = 0x80050037

const known: readonly Difference[] = [
  [/INT1$/, 'TCG has no INT1', 'vector=1 '],
  [/x87 error at the next|x87 error and MMX/, 'TCG looks for pending x87 errors in FWAIT only',
    'vector=10 '],
  [/unmasked SSE error$/, 'TCG has no #XM', 'vector=13 '],
  [/unmasked SSE error without/, 'TCG has no #XM', 'vector=6 '],
]

const experiments: readonly Experiment[] = [
  ...everywhere('nothing happens', ''),
  ...everywhere('a division by zero', 'xor ecx, ecx\ndiv ecx'),
  ...everywhere('a quotient that does not fit', 'mov edx, 5\nmov ecx, 3\ndiv ecx'),
  ...everywhere('IDIV of the smallest number by -1', 'mov eax, 0x80000000\ncdq\nmov ecx, -1\n'
    + 'idiv ecx'),
  ...everywhere('UD2', 'ud2'),
  ...everywhere('UD1', '.byte 0x0f, 0xb9, 0xc0'),
  ...everywhere('INT3', 'nop\nint3'),
  ...everywhere('INT 3', '.byte 0xcd, 3'),
  ...everywhere('INT of an open gate', 'int OPEN'),
  ...everywhere('INT of an open trap gate', 'int OPEN_TRAP'),
  ...everywhere('INT of a closed gate', 'int 0x20'),
  ...everywhere('INT of an exception with error code', 'int 13'),
  ...everywhere('INT1', '.byte 0xf1'),
  ...everywhere('INTO with overflow', 'mov al, 0x7f\nadd al, 1\n.byte 0xce'),
  ...everywhere('INTO without overflow', 'xor eax, eax\n.byte 0xce'),
  ...everywhere('FPU with CR0.TS', 'fld1', cr0(TS)),
  ...everywhere('FPU with CR0.EM', 'fld1', cr0(EM)),
  ...everywhere('FWAIT with CR0.TS and MP', 'fwait', cr0(TS)),
  ...everywhere('FWAIT with CR0.TS', 'fwait', cr0(0x80050039)),
  ...everywhere('FNSTSW with CR0.TS', 'fnstsw ax', cr0(TS)),
  ...everywhere('FXSAVE with CR0.TS', 'fxsave [esp - 0x200 - 0x40]', cr0(TS)),
  ...everywhere('SSE with CR0.TS', 'movaps xmm0, xmm1', cr0(TS)),
  ...everywhere('SSE with CR0.EM', 'movaps xmm0, xmm1', cr0(EM)),
  ...everywhere('MMX with CR0.TS', 'paddb mm0, mm1', cr0(TS)),
  ...everywhere('MMX with CR0.EM', 'paddb mm0, mm1', cr0(EM)),
  ...everywhere('SSE without CR4.OSFXSR', 'movaps xmm0, xmm1', cr4(0x4a0)),
  ...everywhere('LDMXCSR without CR4.OSFXSR', 'ldmxcsr [esp]', cr4(0x4a0)),
  ...everywhere('an unmasked x87 error at the next instruction', `${X87_ERROR}fld1`),
  ...everywhere('an unmasked x87 error at FWAIT', `${X87_ERROR}fwait`),
  ...everywhere('an unmasked x87 error and FNINIT', `${X87_ERROR}fninit`),
  ...everywhere('an unmasked x87 error and MMX', `${X87_ERROR}paddb mm0, mm1`),
  ...everywhere('an unmasked SSE error', SSE_ERROR),
  ...everywhere('an unmasked SSE error without CR4.OSXMMEXCPT', SSE_ERROR, cr4(0x2a0)),
  ...everywhere('BOUND within', 'mov dword ptr [esp - 8], 1\nmov dword ptr [esp - 4], 9\n'
    + 'mov eax, 5\n.byte 0x62, 0x44, 0x24, 0xf8').slice(2),
  ...everywhere('BOUND beyond', 'mov dword ptr [esp - 8], 1\nmov dword ptr [esp - 4], 9\n'
    + 'mov eax, 10\n.byte 0x62, 0x44, 0x24, 0xf8').slice(2),
  experiment('a load from a non-canonical address',
    'mov rbx, 0x800000000000\nmov rax, [rbx]'),
  experiment('user: a load from a non-canonical address',
    'USER64\nmov rbx, 0x800000000000\nmov rax, [rbx]'),
  experiment('a load across the end of the canonical addresses',
    'mov rbx, 0x7ffffffffffc\nmov rax, [rbx]'),
  experiment('a push to a non-canonical address', 'mov rsp, 0x800000000008\npush rax'),
  apart('a load from a non-canonical address through RBP',
    'mov rbp, 0x800000000000\nmov rax, [rbp]', 'the segment is SS; TCG says #GP', 'vector=c '),
  experiment('a load from a non-canonical address through FS and its base',
    'mov ecx, 0xc0000100\nmov edx, 0x7fff\nmov eax, 0xfffff000\nwrmsr\nmov rax, fs:[0x1000]'),
  experiment('a load through the base of GS',
    'mov ecx, 0xc0000101\nmov edx, 0\nmov eax, DATA\nwrmsr\nmov qword ptr [DATA + 8], 77\n'
    + 'mov rax, gs:[8]'),
  apart('a jump to a non-canonical address', 'mov rbx, 0x800000000000\njmp rbx',
    BRANCH_FAULTS, 'vector=d pointer=213f90'),
  apart('a call to a non-canonical address', 'mov rbx, 0x800000000000\ncall rbx',
    BRANCH_FAULTS, 'vector=d pointer=213f90'),
  apart('a return to a non-canonical address',
    'mov rbx, 0x800000000000\npush rbx\nret',
    BRANCH_FAULTS, 'vector=d pointer=213f80'),
  apart('user: a return to a non-canonical address',
    'USER64\nmov rbx, 0x800000000000\npush rbx\nret',
    BRANCH_FAULTS, 'vector=d ', 'frame4=20219fb8'),
  experiment('a jump to a page that is not there', 'mov ebx, 0x3000000\njmp rbx'),
  experiment('user: a jump to a kernel page', 'USER64\nmov ebx, 0x300000\njmp rbx'),
]

export const longExceptions = withKnown(experiments, known)
