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

export const longHot: readonly Experiment[] = [
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
