/**
 * Control registers, EFER, model-specific registers, and who may use privileged instructions.
 */
import {
  alone, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

function bits(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i)
}

function writes(name: string, register: string, values: readonly (readonly [string, bigint])[]) {
  return values.map(([what, value]) => experiment(`${name}: ${what}`,
    `movabs rax, ${hex(value)}\nmov ${register}, rax\nmov rcx, ${register}`))
}

const CR0 = 0x8005_0033n
const CR4 = 0x6a0n
const EFER = 0xd01n

const BAD_CR0: readonly (readonly [string, bigint])[] = [
  ['PE cleared', CR0 ^ 1n], ['PG cleared in 64-bit code', CR0 ^ 0x8000_0000n], ['zero', 0n],
  ['bit 32', CR0 | 1n << 32n], ['bit 63', CR0 | 1n << 63n], ['NW without CD', CR0 | 0x2000_0000n],
]

const control: readonly Experiment[] = [
  ...BAD_CR0.map(([what, value]) => alone(`CR0: ${what}`, `movabs rax, ${hex(value)}\nmov cr0, rax`,
    'TCG checks no value of CR0', 'vector=d pointer=213f90 ', 'cr0=80050033')),
  ...writes('CR0', 'cr0', bits(1, 30).map((bit) => [`bit ${bit} changed`,
    CR0 ^ 1n << BigInt(bit)])),
  ...writes('CR0', 'cr0', [
    ['without caches', CR0 | 0x4000_0000n], ['NW and CD', CR0 | 0x6000_0000n],
    ['all ones below', 0xffff_ffffn],
  ]),
  ...[12, 13, 14, 15, 19, ...bits(22, 64)].map((bit) => alone(`CR4: bit ${bit} set`,
    `movabs rax, ${hex(CR4 | 1n << BigInt(bit))}\nmov cr4, rax`, 'TCG hangs',
    'vector=d pointer=213f90 ')),
  alone('CR4: PCIDE', 'mov eax, 0x206a0\nmov cr4, rax', 'TCG has no PCID', 'vector=7f',
    'cr4=206a0'),
  alone('CR4: PCIDE with low bits of CR3', 'mov eax, PML4 + 8\nmov cr3, rax\nmov eax, 0x206a0\n'
    + 'mov cr4, rax', 'TCG has no PCID', 'vector=d pointer=213f90 '),
  ...writes('CR4', 'cr4', [...bits(0, 12), 16, 18, 20, 21].map((bit) => [`bit ${bit} changed`,
    CR4 ^ 1n << BigInt(bit)])),
  ...writes('CR3', 'cr3', bits(0, 12).map((bit) => [`bit ${bit} set`,
    0x23_0000n | 1n << BigInt(bit)])),
  ...bits(36, 64).map((bit) => alone(`CR3: bit ${bit} set`,
    `movabs rax, ${hex(0x23_0000n | 1n << BigInt(bit))}\nmov cr3, rax`, 'TCG hangs',
    'vector=d pointer=213f90 ', 'cr3=230000 ')),
  ...writes('CR8', 'cr8', [['5', 5n], ['15', 15n], ['16', 16n], ['bit 63', 1n << 63n]]),
  ...writes('CR2', 'cr2', [['anything', 0x1234_5678_9abc_def0n]]),
  ...[1, 5, 6, 7, 9, 15].flatMap((number) => [
    experiment(`MOV from CR${number}`, movControl(0x20, number)),
    experiment(`MOV to CR${number}`, movControl(0x22, number)),
  ]),
  experiment('MOV from CR0 ignores the mod field', '.byte 0x0f, 0x20, 0x00'),
  experiment('LOCK MOV from CR0 is CR8', '.byte 0xf0, 0x0f, 0x20, 0xc0'),
  ...bits(0, 64).map((bit) => experiment(`EFER: bit ${bit} changed`,
    `mov ecx, 0xc0000080\nmovabs rax, ${hex(EFER ^ 1n << BigInt(bit))}\n`
    + 'mov rdx, rax\nshr rdx, 32\ncmp edx, edx\nwrmsr\nrdmsr')),
  experiment('CR4.SMAP, SMEP and UMIP', 'mov eax, 0x3006a0 + 0x800\nmov cr4, rax'),
  experiment('paging off and on again from 32-bit code', lines('KERNEL32', 'mov eax, 0x50033',
    'mov cr0, eax', 'mov ecx, 0xc0000080', 'rdmsr', 'mov esi, eax', 'mov ebx, 0x6a0',
    'mov eax, 0x80050033', 'mov cr0, eax', 'rdmsr')),
  experiment('CR4.PAE cleared while paging is off', lines('KERNEL32', 'mov eax, 0x50033',
    'mov cr0, eax', 'mov eax, 0x680', 'mov cr4, eax', 'mov eax, 0x80050033', 'mov ebx, 0x50033',
    'lidt [1f]', 'mov cr0, eax', 'jmp 2f', '1: .word 0\n.long 0', '2:')),
]

/** MOV between RAX and a control register that the assembler may not know. */
function movControl(opcode: number, number: number): string {
  const rex = number > 7 ? '0x44, ' : ''
  return `.byte ${rex}0x0f, ${hex(opcode)}, ${hex(0xc0 | (number & 7) << 3)}`
}

function wrmsr(name: string, number: number, value: bigint): Experiment {
  return experiment(`WRMSR of ${name}`, lines(`mov ecx, ${hex(number)}`,
    `mov eax, ${hex(value & 0xffff_ffffn)}`, `mov edx, ${hex(value >> 32n)}`, 'wrmsr',
    'xor eax, eax',
    'xor edx, edx', 'rdmsr'))
}

const canonical: readonly (readonly [string, number])[] = [
  ['STAR', 0xc000_0081], ['LSTAR', 0xc000_0082], ['CSTAR', 0xc000_0083], ['SFMASK', 0xc000_0084],
  ['FS_BASE', 0xc000_0100], ['GS_BASE', 0xc000_0101], ['KERNEL_GS_BASE', 0xc000_0102],
  ['TSC_AUX', 0xc000_0103], ['SYSENTER_CS', 0x174], ['SYSENTER_ESP', 0x175],
  ['SYSENTER_EIP', 0x176],
]

const OSXSAVE = 'mov eax, 0x406a0\nmov cr4, rax\nxor ecx, ecx\nmov eax, 3\nxor edx, edx\nxsetbv'

const registers: readonly Experiment[] = [
  ...canonical.flatMap(([name, number]) => [
    wrmsr(name, number, 0x1234_5678n),
    wrmsr(`${name}, a high address`, number, 0xffff_8000_1234_5678n),
    wrmsr(`${name}, no canonical address`, number, 0x8000_1234_5678n),
  ]),
  ...bits(0, 9).map((type) => wrmsr(`PAT with type ${type}`, 0x277, 0x0007_0406_0007_0400n
    | BigInt(type))),
  wrmsr('PAT with a reserved bit', 0x277, 0x0007_0406_0007_0486n),
  experiment('RDMSR ignores the upper half of RCX',
    'movabs rcx, 0x1234c0000080\nmov rdx, -1\nmov rax, -1\nrdmsr'),
  experiment('XSETBV without CR4.OSXSAVE', 'xor ecx, ecx\nmov eax, 3\nxor edx, edx\nxsetbv'),
  experiment('XGETBV without CR4.OSXSAVE', 'xor ecx, ecx\nxgetbv'),
  // Not of 7: the processor that QEMU is here has no AVX.
  ...[0, 1, 2, 3, 4, 8, 0x13, 0x200].map((value) => experiment(`XSETBV of ${hex(value)}`,
    `${OSXSAVE}\nxor ecx, ecx\nmov eax, ${hex(value)}\nxor edx, edx\nxsetbv\nxgetbv`)),
  experiment('XSETBV of the upper half',
    `${OSXSAVE}\nxor ecx, ecx\nmov eax, 3\nmov edx, 1\nxsetbv`),
  experiment('XSETBV of register 1', `${OSXSAVE}\nmov ecx, 1\nmov eax, 3\nxor edx, edx\nxsetbv`),
  experiment('XGETBV of register 2', `${OSXSAVE}\nmov ecx, 2\nxgetbv`),
  experiment('user: XGETBV', `${OSXSAVE}\nUSER64\nxor ecx, ecx\nxgetbv`),
  experiment('user: XSETBV', `${OSXSAVE}\nUSER64\nxor ecx, ecx\nmov eax, 3\nxor edx, edx\nxsetbv`),
]

/** Instructions by who may use them; what they leave in memory or registers is recorded. */
const privileged: readonly (readonly [string, string])[] = [
  ['CLI', 'cli'], ['STI', 'sti\nnop\ncli'], ['HLT', 'jmp 5f\n hlt\n5:'],
  ['LGDT', 'lgdt [HERE + gdt_pointer]'], ['LIDT', 'lidt [HERE + idt_pointer]'],
  ['SGDT', 'sgdt [HERE + OUT]'], ['SIDT', 'sidt [HERE + OUT]'],
  ['SLDT', 'sldt ecx'], ['STR', 'str ecx'], ['SMSW', 'smsw ecx'],
  ['SLDT to memory', 'sldt [HERE + OUT]'], ['SMSW to memory', 'smsw [HERE + OUT]'],
  ['LMSW', 'mov eax, 0x33\nlmsw ax'], ['CLTS', 'clts'], ['LLDT', 'xor eax, eax\nlldt ax'],
  ['LTR', 'mov eax, TSS2_SEL\nltr ax'],
  ['INVD', 'invd'], ['WBINVD', 'wbinvd'], ['INVLPG', 'invlpg [HERE + OUT]'],
  ['MOV from CR0', '.byte 0x0f, 0x20, 0xc0'], ['MOV from CR4', '.byte 0x0f, 0x20, 0xe0'],
  ['MOV to CR2', '.byte 0x0f, 0x22, 0xd0'], ['MOV from DR6', '.byte 0x0f, 0x21, 0xf0'],
  ['MOV to DR0', '.byte 0x0f, 0x23, 0xc0'],
  ['RDMSR', 'mov ecx, 0xc0000080\nrdmsr'],
  ['WRMSR', 'mov ecx, 0xc0000102\nmov eax, 0x3000\nxor edx, edx\nwrmsr'],
  ['RDPMC', 'xor ecx, ecx\nrdpmc\nxor eax, eax\nxor edx, edx'],
  ['RDTSC', 'rdtsc\nxor eax, eax\nxor edx, edx'],
  ['IN', 'in al, 0x80\nxor eax, eax'], ['OUT', 'mov al, 1\nout 0x80, al'],
  ['INS', 'mov edi, HERE + DATA\nmov edx, 0x80\n.byte 0x67\ninsb\nxor eax, eax'],
  ['OUTS', 'mov esi, HERE + DATA\nmov edx, 0x80\n.byte 0x67\noutsb'],
  ['CLAC', 'clac'], ['STAC', 'stac'], ['SYSRET', 'jmp 5f\nnop\n5:'],
  ['MONITOR', 'mov eax, HERE + DATA\nxor ecx, ecx\nxor edx, edx\n.byte 0x0f, 1, 0xc8'],
  ['INVLPGA', '.byte 0x0f, 1, 0xdf'], ['VMMCALL', '.byte 0x0f, 1, 0xd9'],
  ['CLGI', '.byte 0x0f, 1, 0xdd'], ['VMRUN', '.byte 0x0f, 1, 0xd8'],
  ['RSM', '.byte 0x0f, 0xaa'], ['GETSEC', '.byte 0x0f, 0x37'],
  ['VMREAD', '.byte 0x0f, 0x78, 0xc0'], ['VMXON', '.byte 0xf3, 0x0f, 0xc7, 0x30'],
]

const levels: readonly (readonly [string, string, string])[] = [
  ['kernel', '', '0'], ['user', 'USER64', 'ALIAS'], ['32-bit user', 'USER32', 'ALIAS'],
  ['user with IOPL 3', lines('pushq USER_DATA\npushq USER_STACK + ALIAS\npushq 0x3002',
    'pushq USER64\npushq offset 6f + ALIAS\niretq\n6:'), 'ALIAS'],
]

function perLevel(suffix: string, before: string, names: RegExp): Experiment[] {
  return privileged.filter(([name]) => names.test(name)).flatMap(([name, code]) =>
    levels.map(([level, enter, here]) => experiment(`${level}: ${name}${suffix}`,
      lines(`.set HERE, ${here}`, before, enter, code))))
}

/** Lets the user have port 0x80 but not 0x81, by the task's permission bitmap. */
const BITMAP = 'mov dword ptr [TSS + 0x68 + 0x10], 0xfffffffe'

const ports: readonly Experiment[] = [
  ['a port that is allowed', 'out 0x80, al'], ['a port that is not', 'out 0x81, al'],
  ['a word of which one byte is not allowed', 'out 0x80, ax'],
  ['a port of the last byte', 'mov edx, 0x7ff\nout dx, al'],
  ['a port beyond the bitmap', 'mov edx, 0x7f8\nout dx, al\nmov edx, 0x800\nout dx, al'],
].map(([name, code]) => experiment(`user: OUT to ${name}`, `${BITMAP}\nUSER64\n${code}`))

export const longControl = withKnown([
  ...control, ...registers, ...perLevel('', '', /./),
  ...perLevel(' with CR4.UMIP', 'mov eax, 0xea0\nmov cr4, rax', /^(S[GIL]DT|STR|SMSW)/),
  ...perLevel(' with CR4.TSD', 'mov eax, 0x6a4\nmov cr4, rax', /^RDTSC/),
  ...perLevel(' with CR4.PCE', 'mov eax, 0x7a0\nmov cr4, rax', /^RDPMC/), ...ports,
], known())

function known(): Difference[] {
  const GP = 'vector=d pointer=213f90 '
  const LAX = 'TCG takes what is reserved (AMD APM 2, 3.1 and 3.2)'
  return [
    [/CR0: bit (29|3[0-9])/, 'TCG checks no value of CR0', GP],
    [/CR0: bit /, 'undefined bits of CR0 read as zero; TCG keeps them', 'cr0=80050033 '],
    [/CR0: all ones/, 'undefined bits of CR0 read as zero; TCG keeps them', 'cr0=e005003f '],
    [/CR4: bit [01] /, 'there is no VME; TCG has some', GP],
    [/CR4: bit 5 /, 'TCG lets PAE go in long mode', GP],
    [/CR8: (16|bit)/, LAX, GP],
    [/LOCK MOV/, 'CPUID does not offer that; TCG does', 'vector=6 '],
    [/EFER: bit 21/, 'automatic IBRS, unknown to TCG', 'efer=200d01 '],
    [/EFER: /, LAX, GP],
    [/WRMSR of SYSENTER_CS/, 'TCG keeps 16 bits', 'vector=7f '],
    [/WRMSR of/, LAX, GP],
    [/RDPMC/, 'TCG has no performance counters', 'vector=7f '],
  ]
}
