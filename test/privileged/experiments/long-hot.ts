/**
 * System instructions in loops that are hot enough to be compiled, with what they leave to services
 * now and then.
 */
import { apart, experiment, type Experiment, lines } from '../experiment.ts'

const ROUNDS = 700

/** Runs `body` often; R14 sums up RAX after each round. */
function hot(name: string, ...body: string[]): Experiment {
  return experiment(`hot: ${name}`, lines('LOG', 'xor r14d, r14d', `mov r15d, ${ROUNDS}`, '8:',
    ...body, 'rol r14, 1', 'add r14, rax', 'dec r15d', 'jnz 8b'))
}

const FLAGS = lines('pushfq', 'pop rax')

/** STAR, LSTAR and SFMASK: a system call goes to the label 7. */
const KERNEL_BY_SYSCALL = lines('mov ecx, 0xc0000081', 'xor eax, eax', 'mov edx, 0x2b0008', 'wrmsr',
  'mov ecx, 0xc0000082', 'mov eax, offset 7f', 'xor edx, edx', 'wrmsr', 'mov ecx, 0xc0000084',
  'mov eax, 0x401', 'wrmsr')

/** The system call sums R11, RSP and the flags up, and returns. */
const SYSTEM_CALL = lines(KERNEL_BY_SYSCALL, 'jmp 6f', '7: add r14, r11', 'add r14, rsp',
  'mov r13, rsp', 'mov rsp, STACK', 'pushfq', 'pop rbx', 'add r14, rbx', 'mov rsp, r13', 'SYSRETQ',
  '6:')

/** Pushes a frame that returns to the label 7 behind it. */
function frame(cs: string, ss: string, flags: string): string {
  return lines('mov rax, rsp', `pushq ${ss}`, 'push rax', `pushq ${flags}`, `pushq ${cs}`,
    'lea rbx, [rip + 7f]', 'push rbx', 'iretq', '7: pushfq', 'pop rax')
}

/** As `hot`, from user code. */
function hotUser(name: string, before: string, ...body: string[]): Experiment {
  return experiment(`hot: user: ${name}`, lines('LOG', before, 'xor r14d, r14d',
    `mov r15d, ${ROUNDS}`, 'USER64', '8:', ...body, 'rol r14, 1', 'add r14, rax', 'dec r15d',
    'jnz 8b'))
}

const transfers: readonly Experiment[] = [
  hotUser('SYSCALL and SYSRET', SYSTEM_CALL, 'mov eax, r15d', 'sub eax, 350', 'std', 'syscall',
    'pushfq', 'pop rax', 'add rax, rcx', 'add rax, r11', 'mov ebx, ss', 'add rax, rbx',
    'mov ebx, cs', 'add rax, rbx', 'cld'),
  hotUser('SYSRET with TF and AC now and then', SYSTEM_CALL, 'mov eax, r15d', 'and eax, 255',
    'cmp eax, 1', 'sbb eax, eax', 'and eax, 0x40000', 'push rax', 'popfq', 'syscall', 'pushfq',
    'pop rax'),
  hot('IRETQ within the kernel', frame('CODE', 'DATA_SEG', '0x4d7'), 'cld'),
  hot('IRETQ within the kernel with a null SS', frame('CODE', '0', '0x8d5'), 'mov ebx, ss',
    'add rax, rbx'),
  hot('IRETQ enables interrupts', frame('CODE', 'DATA_SEG', '0x40202'), 'cli'),
  experiment('hot: IRETQ to another level, a fault there, and back by SYSCALL', lines('LOG',
    KERNEL_BY_SYSCALL, 'xor r14d, r14d', `mov r15d, ${ROUNDS}`,
    '8: mov qword ptr [resume_at], offset 2f + ALIAS', 'mov rbp, rsp',
    'mov eax, r15d', 'and eax, 3', 'mov ds, eax', 'mov es, eax', 'pushq USER_DATA',
    'pushq USER_STACK + ALIAS', 'pushq 0x246', 'pushq USER64',
    'mov eax, offset 1f + ALIAS', 'push rax', 'iretq', '1: mov eax, ds', 'mov ebx, es', 'ud2',
    '2: syscall', '7: add rax, rsp', 'lea rax, [rax + rbx * 4]', 'mov rsp, rbp', 'rol r14, 1',
    'add r14, rax', 'dec r15d', 'jnz 8b')),
  experiment('hot: page faults', lines('LOG', 'xor r14d, r14d',
    `mov r15d, ${ROUNDS}`, '8: RESUME 7f',
    'mov rbx, r15', 'shl rbx, 12', 'test rbx, rbx',
    'mov rax, [WINDOW + rbx]', '7: mov rax, cr2', 'rol r14, 1',
    'add r14, rax', 'dec r15d', 'jnz 8b')),
  hotUser('page faults', '', 'USER_RESUME 7f', 'mov rbx, r15', 'shl rbx, 12', 'test rbx, rbx',
    'mov [WINDOW + rbx], rbx', '7: mov eax, ss', 'add rax, rsp'),
  hotUser('faults with null selectors that are not 0', '', 'USER_RESUME 7f', 'mov eax, r15d',
    'and eax, 3', 'mov es, eax', 'mov ds, eax', 'cli', '7: mov eax, es', 'mov ebx, ds',
    'lea eax, [rax + rbx * 4]'),
  hotUser('faults of privilege', '', 'USER_RESUME 7f', 'cli', '7: mov eax, esp', 'pushfq',
    'pop rbx', 'add rax, rbx'),
]

export const longHot: readonly Experiment[] = [
  ...transfers,
  hot('CLI and STI', 'sti', FLAGS, 'mov ebx, eax', 'cli', FLAGS, 'lea eax, [rax + rbx * 2]'),
  hot('STI while interrupts are on', 'sti', 'sti', FLAGS, 'cli'),
  hot('PUSHF after arithmetic', 'lea ebx, [r15 - 300]', 'imul ebx, ebx, 0x1234567',
    'sub ebx, r15d', FLAGS),
  hot('POPF of all kinds of flags', 'mov eax, r15d', 'imul rax, rax, 0x1357', 'and eax, 0x247cd5',
    'push rax', 'popfq', 'pushfq', 'pop rax', 'cli', 'cld'),
  hot('POPF of 16 bits', 'mov eax, r15d', 'imul rax, rax, 0x135', 'and eax, 0x7cd5', 'pushw ax',
    'popfw', 'pushfw', 'pop ax', 'cli', 'cld'),
  hot('POPF of AC', 'mov eax, r15d', 'and eax, 1', 'shl eax, 18', 'push rax', 'popfq', FLAGS),
  hot('POPF of TF now and then', 'mov eax, r15d', 'and eax, 127', 'cmp eax, 1', 'sbb eax, eax',
    'and eax, 0x100', 'push rax', 'popfq', FLAGS),
  hot('PUSHF with a stack that is not there', 'mov rbp, rsp', 'cmp r15d, 3', 'jne 1f',
    'RESUME 1f', 'mov esp, WINDOW + 0x9000', '1: pushfq', 'mov rsp, rbp', 'mov eax, esp'),
  hot('STAC and CLAC', 'mov eax, 0x2006a0', 'mov cr4, rax', 'stac', FLAGS, 'mov ebx, eax', 'clac',
    FLAGS, 'lea eax, [rax + rbx * 2]'),
  hot('SWAPGS and the bases', 'mov eax, 0x106a0', 'mov cr4, rax', 'swapgs', 'rdgsbase rbx',
    'add rbx, r15', 'wrgsbase rbx', 'wrfsbase r15', 'swapgs', 'rdgsbase rcx', 'rdfsbase rax',
    'add rax, rbx', 'lea rax, [rax + rcx * 2]'),
  apart('hot: a base that is not canonical', lines('mov eax, 0x106a0', 'mov cr4, rax',
    `mov r15d, ${ROUNDS}`, 'mov rbx, 0x123456789abcdef0', '8: cmp r15d, 2', 'cmova rax, r15',
    'cmovbe rax, rbx', 'wrfsbase rax', 'dec r15d', 'jnz 8b'),
  'QEMU does not look at bases', 'vector=d', 'fsBase=3'),
  hot('RDMSR and WRMSR of bases and others', 'mov ecx, 0xc0000102', 'rdmsr', 'inc eax', 'wrmsr',
    'mov ebx, eax', 'mov ecx, 0xc0000082', 'mov eax, r15d', 'xor edx, edx', 'wrmsr', 'rdmsr',
    'add eax, ebx'),
  hot('control registers', 'mov rax, cr0', 'mov rbx, cr2', 'add rax, rbx', 'mov rbx, cr3',
    'add rax, rbx', 'mov rbx, cr4', 'add rax, rbx', 'mov cr2, r15', 'mov rbx, cr8',
    'add rax, rbx'),
  hot('PAUSE and RDTSC', 'rdtsc', 'pause', 'shl rdx, 32', 'mov ebx, eax', 'or rbx, rdx', 'rdtsc',
    'shl rdx, 32', 'or rax, rdx', 'sub rbx, rax', 'sar rbx, 63', 'mov eax, ebx', 'xor edx, edx'),
]
