/**
 * Single steps, breakpoints, and the debug registers in long mode.
 */
import {
  type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

const TF_ON = 'pushfq\nor dword ptr [rsp], 0x100\npopfq'
const TF_OFF = 'pushfq\nand dword ptr [rsp], ~0x100\npopfq'

function steps(name: string, code: string, before = ''): Experiment {
  return experiment(`steps: ${name}`, lines(before, 'TRACE 40', TF_ON, code, TF_OFF, 'nop'))
}

const USER_TF = lines('pushq USER_DATA\npushq USER_STACK + ALIAS\npushq 0x102',
  'pushq USER64\npushq offset 5f + ALIAS\niretq\n5:')

const single: readonly Experiment[] = [
  steps('plain instructions', 'inc eax\nnop\nmov ecx, [DATA]\npush rax\npop rcx'),
  steps('jumps and calls', 'jmp 1f\nnop\n1: call 2f\njmp 3f\n2: ret\n3: jz 4f\n4: loop 5f\n5:'),
  steps('REP is stepped iteration by iteration',
    'mov esi, DATA\nmov edi, OUT\nmov ecx, 3\nrep movsb\nmov ecx, 2\nrep stosb\nxor ecx, ecx\n'
    + 'rep movsb'),
  steps('MOV SS hides the step behind it', 'mov eax, ss\nmov ss, eax\nnop\nnop'),
  steps('POP into SS is no instruction here; LSS hides nothing',
    'mov word ptr [DATA + 4], DATA_SEG\nmov dword ptr [DATA], STACK - 64\nlss esp, [DATA]\nnop'),
  steps('STI hides nothing', 'sti\nnop\ncli'),
  steps('CLI, CLD, and PUSHF with TF in its image', 'cli\ncld\npushfq\npop rdx\nmov eax, edx'),
  steps('a write of CR0', 'mov rax, cr0\nmov cr0, rax\nnop'),
  steps('IRET to itself', 'mov rax, rsp\npushq DATA_SEG\npush rax\npushfq\npushq CODE\n'
    + 'pushq offset 1f\niretq\n1: nop'),
  steps('IRET that clears TF', 'mov rax, rsp\npushq DATA_SEG\npush rax\npushq 2\npushq CODE\n'
    + 'pushq offset 1f\niretq\n1: nop'),
  steps('far return', 'pushq CODE\npushq offset 1f\nrex.w retf\n1: nop'),
  steps('CPUID, RDMSR and WRMSR', 'mov ecx, 0xc0000102\nrdmsr\nwrmsr\nxor eax, eax'),
  steps('WBINVD and INVLPG', 'wbinvd\ninvlpg [WINDOW]\nnop'),
  steps('OUT and IN', 'mov al, 1\nout 0x80, al\nin al, 0x80\nxor eax, eax'),
  steps('self-modifying code', 'mov byte ptr [1f + 1], 9\n1: mov al, 1\nnop'),
  steps('SWAPGS and SSE', 'swapgs\nmovaps xmm0, xmm1\nfld1\nfstp st(0)'),
  steps('INT3', 'nop\nint3\nnop'),
  steps('a software interrupt clears TF in the handler', 'nop\nint OPEN'),
  steps('a fault clears TF in the handler', 'nop\nud2'),
  steps('a fault that goes on', 'RESUME 1f\nnop\nud2\n1: nop\nnop'),
  experiment('the user is stepped', lines('TRACE 20', USER_TF,
    'inc eax\nmov ecx, eax\npush rax\npop rax\nnop')),
  experiment('the user is stepped to SYSCALL', lines('TRACE 20', USER_TF, 'inc eax\nsyscall')),
  experiment('the user is stepped over SYSCALL whose mask lets TF pass',
    lines('TRACE 20', 'mov ecx, 0xc0000084\nxor eax, eax\nxor edx, edx\nwrmsr', USER_TF,
      'inc eax\nsyscall')),
  experiment('SYSRET sets TF', lines('TRACE 20', 'mov r11d, 0x102',
    'mov ecx, offset 1f + ALIAS\nmov esp, USER_STACK + ALIAS\nSYSRETQ\n1: nop\nnop')),
  experiment('the user is stepped to a software interrupt',
    lines('TRACE 20', USER_TF, 'inc eax\nint OPEN')),
  experiment('the user steps himself with POPF', lines('TRACE 20', 'USER64', TF_ON, 'nop\nnop',
    TF_OFF, 'nop')),
  experiment('32-bit code is stepped', lines('TRACE 20', 'KERNEL32',
    'pushfd\nor dword ptr [esp], 0x100\npopfd\ninc eax\npush ds\npop ds\npush ss\npop ss\nnop\n'
      + 'nop')),
]

/** Enables breakpoint `n` of `kind` (0 execute, 1 write, 2 I/O, 3 access) and length code. */
function breakpoint(
  n: number, kind: number, length: number, where: string, global = false,
): string {
  const dr7 = 0x400 | 1 << n * 2 + (global ? 1 : 0) | kind << 16 + n * 4 | length << 18 + n * 4
  return lines(`mov rax, offset ${where}`, `mov dr${n}, rax`, `mov eax, ${hex(dr7 >>> 0)}`,
    'mov dr7, rax')
}

/** FINISH would touch what is watched on the stack. */
const OFF = 'mov eax, 0x400\nmov dr7, rax'

function watch(
  name: string, kind: number, length: number, where: string, code: string,
): Experiment {
  // Traps arrive on a stack of their own, which is not watched.
  return experiment(`watched: ${name}`, lines('TRACE 20', 'mov byte ptr [IDT + 16 + 4], 2',
    breakpoint(0, kind, length, where), code, 'nop', OFF))
}

const LENGTHS = [1, 2, 8, 4]

const watches: readonly Experiment[] = [
  ...[1, 3].flatMap((kind) => LENGTHS.flatMap((bytes, length) => [
    ['a byte before', `DATA + 0x1f`, 'byte'], ['its first byte', 'DATA + 0x20', 'byte'],
    ['its last byte', `DATA + ${0x20 + bytes - 1}`, 'byte'],
    ['a byte behind', `DATA + ${0x20 + bytes}`, 'byte'],
    ['8 bytes across its start', 'DATA + 0x1c', 'qword'],
  ].flatMap(([what, where, size]) => {
    const register = size === 'byte' ? 'al' : 'rax'
    const name = `${kind === 1 ? 'writes' : 'accesses'} of ${bytes} bytes, ${what}`
    return [
      watch(`${name}, read`, kind, length, 'DATA + 0x20', `mov ${register}, [${where}]`),
      watch(`${name}, written`, kind, length, 'DATA + 0x20', `mov [${where}], ${register}`),
    ]
  }))),
  watch('an address that is not aligned is aligned', 1, 3, 'DATA + 0x22',
    'mov byte ptr [DATA + 0x20], 1'),
  watch('read and written', 3, 3, 'DATA', 'add dword ptr [DATA], 1'),
  watch('compared', 3, 3, 'DATA', 'cmp dword ptr [DATA], 1'),
  watch('compared, when writes are watched', 1, 3, 'DATA', 'cmp dword ptr [DATA], 1'),
  watch('pushed upon', 1, 2, 'STACK - 8', 'push rax'),
  watch('popped', 3, 2, 'STACK - 8', 'push rax\npop rcx'),
  watch('called upon', 1, 2, 'STACK - 8', 'call 1f\n1: nop'),
  watch('REP STOSB over it', 1, 0, 'DATA + 3', 'mov edi, DATA\nmov ecx, 6\nrep stosb'),
  watch('REP MOVSB from it', 3, 0, 'DATA + 3',
    'mov esi, DATA\nmov edi, OUT\nmov ecx, 6\nrep movsb'),
  watch('REP STOSQ over it', 1, 0, 'DATA + 0x13', 'mov edi, DATA\nmov ecx, 6\nrep stosq'),
  watch('a vector store', 1, 0, 'DATA + 0x13', 'movups [DATA + 8], xmm0'),
  watch('a vector load', 3, 0, 'DATA + 0x13', 'movups xmm0, [DATA + 8]'),
  watch('an x87 store', 1, 0, 'DATA + 9', 'fld1\nfstp tbyte ptr [DATA]'),
  watch('a LOCK CMPXCHG that fails', 1, 0, 'DATA', 'mov eax, 9\nlock cmpxchg [DATA], ecx'),
  watch('SGDT', 1, 0, 'DATA + 4', 'sgdt [DATA]'),
  watch('a prefetch is no access', 3, 3, 'DATA', 'prefetcht0 [DATA]'),
  watch('the same page through the alias is another address', 3, 3, 'DATA',
    'mov eax, [DATA + ALIAS]'),
  watch('a store that faults', 3, 3, 'DATA', 'RESUME 1f\nmov rbx, 0x800000000000\n'
    + 'push [rbx]\n1: nop'),
  experiment('watched: by the user', lines('TRACE 20', breakpoint(1, 1, 3, 'DATA + ALIAS'),
    'USER64\nmov [DATA + ALIAS], eax\nnop\nnop')),
  experiment('watched: by two breakpoints', lines('TRACE 20',
    'mov eax, DATA\nmov dr0, rax\nmov dr3, rax\nmov eax, 0x11000441\nmov dr7, rax',
    'mov [DATA], eax\nnop')),
  experiment('watched: a breakpoint that is not enabled is not reported', lines('TRACE 20',
    'mov eax, DATA\nmov dr0, rax\nmov dr3, rax\nmov eax, 0x11000401\nmov dr7, rax',
    'mov [DATA], al\nnop')),
  experiment('watched: globally', lines('TRACE 20', breakpoint(2, 1, 3, 'DATA', true),
    'mov [DATA], eax\nnop')),
  experiment('watched: while stepping', lines('TRACE 20', breakpoint(2, 1, 3, 'DATA'), TF_ON,
    'mov [DATA], eax', TF_OFF, 'nop')),
  experiment('watched: RF does not matter', lines('TRACE 20', breakpoint(2, 1, 3, 'DATA'),
    'mov rcx, rsp\npushq DATA_SEG\npush rcx\npushq 0x10002\npushq CODE\npushq offset 1f\niretq',
    '1: mov [DATA], eax\nnop')),
  experiment('watched: MOV SS holds the trap back', lines('TRACE 20',
    'mov word ptr [DATA], DATA_SEG', breakpoint(2, 3, 1, 'DATA'), 'mov ss, [DATA]\nnop\nnop')),
  experiment('watched: behind MOV SS', lines('TRACE 20',
    'mov ecx, DATA_SEG', breakpoint(2, 3, 1, 'DATA'), 'mov ss, ecx\nmov eax, [DATA]\nnop\nnop')),
]

const stops: readonly Experiment[] = [
  experiment('stopped at an instruction', lines('TRACE 20', breakpoint(0, 0, 0, '1f'),
    'nop\n1: inc ecx\nnop')),
  experiment('stopped at a jump\'s target', lines('TRACE 20', breakpoint(3, 0, 0, '1f'),
    'jmp 1f\nnop\n1: inc ecx\nnop')),
  experiment('stopped at the middle of an instruction: never', lines('TRACE 20',
    breakpoint(0, 0, 0, '1f + 1'), '1: mov ecx, 5\nnop')),
  experiment('stopped at a prefix', lines('TRACE 20', breakpoint(0, 0, 0, '1f'),
    '1: lock inc dword ptr [DATA]\nnop')),
  experiment('stopped before a fault', lines('TRACE 20', breakpoint(0, 0, 0, '1f'), '1: ud2')),
  experiment('stopped in a loop', lines('TRACE 20', 'mov ecx, 3', breakpoint(0, 0, 0, '1f'),
    '1: nop\nloop 1b')),
  experiment('stopped at REP once', lines('TRACE 20', 'mov ecx, 3\nmov edi, DATA',
    breakpoint(0, 0, 0, '1f'), '1: rep stosb\nnop')),
  experiment('stopped while stepping', lines('TRACE 20', breakpoint(0, 0, 0, '1f'), TF_ON,
    'nop\n1: inc ecx', TF_OFF, 'nop')),
  experiment('not stopped: RF comes with IRET', lines('TRACE 20', breakpoint(0, 0, 0, '1f'),
    'mov rcx, rsp\npushq DATA_SEG\npush rcx\npushq 0x10002\npushq CODE\npushq offset 1f\niretq',
    '1: nop\nnop')),
  experiment('not stopped: POPF clears RF, and so does not help', lines('TRACE 20',
    breakpoint(0, 0, 0, '1f'), 'pushq 0x10002\npopfq\n1: nop\nnop')),
  experiment('not stopped with a length', lines('TRACE 20', breakpoint(0, 0, 3, '1f'),
    'nop\n1: inc ecx\nnop')),
  experiment('stopped: user code', lines('TRACE 20', breakpoint(0, 0, 0, '1f + ALIAS'),
    'USER64\nnop\n1: inc ecx\nnop')),
  experiment('stopped behind MOV SS: not', lines('TRACE 20', 'mov ecx, ss',
    breakpoint(0, 0, 0, '1f'), 'mov ss, ecx\n1: nop\nnop')),
  experiment('stopped at two breakpoints', lines('TRACE 20',
    'mov rax, offset 1f\nmov dr0, rax\nmov dr1, rax\nmov eax, 0x405\nmov dr7, rax',
    'nop\n1: inc ecx\nnop')),
  experiment('stopped at the handler of a fault', lines('TRACE 20',
    breakpoint(0, 0, 0, 'stubs + 6 * 16'), 'ud2')),
  experiment('stopped where code was run before', lines('TRACE 20', 'xor ecx, ecx',
    '1: inc ecx\ncmp ecx, 3\njb 1b\ncmp ecx, 4\njae 2f', breakpoint(0, 0, 0, '1b'), 'jmp 1b\n2:')),
  experiment('stopped at OUT to a watched port', lines('TRACE 20',
    'mov eax, 0x6a8\nmov cr4, rax', 'mov eax, 0x80\nmov dr0, rax\nmov eax, 0x20401\nmov dr7, rax',
    'out 0x80, al\nnop')),
  experiment('stopped at IN of a watched port', lines('TRACE 20',
    'mov eax, 0x6a8\nmov cr4, rax', 'mov eax, 0x80\nmov dr0, rax\nmov eax, 0x20401\nmov dr7, rax',
    'in al, 0x80\nxor eax, eax\nnop')),
]

const registers: readonly Experiment[] = [
  ...[0, 1, 2, 3].map((n) => experiment(`DR${n} keeps 64 bits`,
    `movabs rax, 0x123456789abcdef0\nmov dr${n}, rax\nmov rcx, dr${n}`)),
  ...[6, 7].flatMap((n) => [0n, 0xffff_ffffn, 1n << 32n, 1n << 63n].map((value) =>
    experiment(`DR${n} of ${hex(value)}`,
      `movabs rax, ${hex(n === 7 ? value & ~0x20ffn : value)}\nmov dr${n}, rax\nmov rcx, dr${n}`))),
  experiment('DR4 and DR5 are DR6 and DR7', 'mov rax, dr6\n.byte 0x0f, 0x21, 0xe1\n'
    + '.byte 0x0f, 0x21, 0xea'),
  experiment('DR4 with CR4.DE is #UD', 'mov eax, 0x6a8\nmov cr4, rax\n.byte 0x0f, 0x21, 0xe1'),
  experiment('DR5 with CR4.DE is #UD', 'mov eax, 0x6a8\nmov cr4, rax\n.byte 0x0f, 0x23, 0xe9'),
  experiment('DR8 is #UD', '.byte 0x44, 0x0f, 0x21, 0xc0'),
  experiment('GD: reading faults', 'TRACE 1\nmov eax, 0x2400\nmov dr7, rax\nmov rcx, dr0\nnop'),
  experiment('GD: writing faults', 'TRACE 1\nmov eax, 0x2400\nmov dr7, rax\nmov dr6, rcx\nnop'),
  experiment('DR6 keeps what it had, but BS is added', lines('mov eax, 0xffff0ff2\nmov dr6, rax',
    TF_ON, 'nop')),
]

const NO_GD = 'TCG has no GD'

const known: readonly Difference[] = [
  [/LSS hides nothing/, 'MOV SS and POP SS hide, LSS does not (AMD APM 2, 8.5); TCG lets it',
    'frame0='],
  [/STI hides nothing/, 'STI holds off interrupts only (AMD APM 3, STI); TCG holds off #DB too',
    'frame2=302 '],
  [/not aligned is aligned/, 'low bits do not count (AMD APM 2, 13.1.1.4); TCG compares them',
    'vector=100000001 ', 'dr6=ffff0ff1 '],
  [/watched: while stepping/, 'both causes in one trap; TCG steps into its handler',
    'dr6=ffff4ff4 '],
  [/MOV SS holds the trap back/, 'all debug traps wait (AMD APM 2, 8.5); TCG traps at once',
    'dr6=ffff0ff4 '],
  [/stopped at REP once/, 'RF holds for all rounds (AMD APM 2, 13.1.3); TCG stops at each',
    'rcx=3 ', 'rdi=206003 '],
  [/stopped while stepping/, 'the step comes first, and then RF is set; TCG reports both',
    'dr6=ffff4ff0 '],
  [/not stopped with a length/, 'undefined', 'vector=7f '],
  [/stopped behind MOV SS/, 'all debug exceptions wait (AMD APM 2, 8.5); TCG stops', 'vector=7f '],
  [/DR6 of 0xffffffff/, 'bit 12 is zero (AMD APM 2, 13.1.1.3); TCG keeps it', 'rcx=ffffefff '],
  [/DR7 of 0xffffffff/, 'reserved bits are zero (AMD APM 2, 13.1.1.4); TCG keeps them',
    'rcx=ffff0700 '],
  [/GD: /, NO_GD, 'vector=100000001 ', 'dr6=ffff2ff0 '],
  [/DR6 keeps/, 'the processor clears nothing in DR6 (AMD APM 2, 13.1.1.3); TCG does',
    'dr6=ffff4ff2 '],
]

export const longDebug = withKnown([...single, ...watches, ...stops, ...registers], known)
