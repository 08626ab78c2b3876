/**
 * Segment registers and descriptor tables in long mode.
 */
import {
  describe, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

/** Sixteen descriptors of one type: each DPL, present and not; their selectors. */
const SLOTS = 0x100

function slot(dpl: number, present: number): number {
  return SLOTS + (dpl * 2 + present) * 16
}

function slots(type: number): string {
  const all: string[] = []
  for (let dpl = 0; dpl < 4; dpl++) {
    for (let present = 0; present < 2; present++) {
      all.push(describe(slot(dpl, present), type | dpl << 5 | present << 7, 0xc, 0x12_3456 + dpl,
        0x4321 + present))
    }
  }
  return lines('xor r8, r8', ...all)
}

const SUM = 'imul r8, r8, 31\nadd r8, rax'

/** LAR, LSL, VERR and VERW of all of them with RPL 0 and 3. */
function questions(): string {
  const all: string[] = []
  for (let dpl = 0; dpl < 4; dpl++) {
    for (const rpl of [0, 3]) {
      for (let present = 0; present < 2; present++) {
        all.push(`mov ebx, ${slot(dpl, present) + rpl}`)
        for (const name of ['lar rax, rbx', 'lsl eax, ebx', 'verr bx', 'verw bx']) {
          all.push('mov eax, 99', name, 'setz cl', SUM, 'movzx eax, cl', SUM)
        }
      }
    }
    all.push(`mov [OUT_HERE + ${dpl * 8}], r8`)
  }
  return all.join('\n')
}

/** Loads a segment register with all of them; the faults are noted. */
function loads(register: string, rpl: number, resume: string): string {
  const all: string[] = []
  for (let dpl = 0; dpl < 4; dpl++) {
    for (let present = 0; present < 2; present++) {
      all.push(`${resume} 1f`, `mov eax, ${slot(dpl, present) + rpl}`, `mov ${register}, eax`, '1:',
        `mov eax, ${register}`, SUM)
    }
  }
  return all.join('\n')
}

function typed(): Experiment[] {
  const all: Experiment[] = []
  for (let type = 0; type < 32; type++) {
    const name = `type bits ${hex(type)}`
    for (const [level, here] of [['', 'OUT'], ['USER64', 'OUT + ALIAS']] as const) {
      const who = level ? 'user' : 'kernel'
      all.push(experiment(`${who}: LAR, LSL, VERR, VERW of ${name}`,
        lines(`.set OUT_HERE, ${here}`, slots(type), level, questions())))
      for (const register of ['ds', 'ss', 'gs']) {
        for (const rpl of [0, 3]) {
          all.push(experiment(`${who}: loading ${register} with ${name} and RPL ${rpl}`,
            lines('LOG', slots(type), level, loads(register, rpl, level ? 'USER_RESUME' : 'RESUME'),
              ...[0, 1, 2, 3].map((dpl) => `mov r${9 + dpl}, [GDT + ${slot(dpl, 1)} + 4`
                + `${level ? ' + ALIAS' : ''}]`))))
        }
      }
    }
    all.push(
      experiment(`LLDT of ${name}`, `${slots(type)}\nmov eax, ${slot(0, 1)}\nlldt ax`),
      experiment(`LLDT of ${name}, not present`, `${slots(type)}\nmov eax, ${slot(0, 0)}\nlldt ax`),
      experiment(`LTR of ${name}`, `${slots(type)}\nmov eax, ${slot(2, 1)}\nltr ax\n`
        + `mov rax, [GDT + ${slot(2, 1)}]`),
      experiment(`LTR of ${name}, not present`, `${slots(type)}\nmov eax, ${slot(2, 0)}\nltr ax`),
    )
  }
  return all
}

function load(name: string, register: string, selector: string, before = ''): Experiment[] {
  return ['', 'USER64', 'USER32', 'KERNEL32'].map((level) =>
    experiment(`${level || 'kernel'}: ${register} with ${name}`,
      lines(before, level, `mov eax, ${selector}`, `mov ${register}, eax`, `mov ecx, ${register}`)))
}

const USE_LDT = lines('mov eax, LDT_SEL', 'lldt ax',
  'mov dword ptr [LDT + 8], 0x0000ffff', 'mov dword ptr [LDT + 12], 0x00cff300',
  'mov dword ptr [LDT + 16], 0x0000ffff', 'mov dword ptr [LDT + 20], 0x00aff800',
  'mov dword ptr [LDT + 0xf8], 0x0000ffff', 'mov dword ptr [LDT + 0xfc], 0x00cff300')

const named: readonly Experiment[] = [
  ...['ds', 'es', 'fs', 'gs', 'ss'].flatMap((register) => [
    ...load('null', register, '0'),
    ...load('null and RPL 3', register, '3'),
    ...load('null and RPL 1', register, '1'),
    ...load('user data', register, 'USER_DATA'),
    ...load('kernel data', register, 'DATA_SEG'),
    ...load('kernel data and RPL 3', register, 'DATA_SEG + 3'),
    ...load('a selector beyond the table', register, '0x400'),
    ...load('a selector whose descriptor ends beyond the table', register, '0x80',
      'lgdt [1f]\njmp 2f\n1: .word 0x86\n.quad GDT\n2:'),
    ...load('an LDT that is not there', register, '0xc'),
    ...load('data of the LDT', register, '0xf', USE_LDT),
    ...load('the last of the LDT', register, '0xff', USE_LDT),
    ...load('a selector beyond the LDT', register, '0x107', USE_LDT),
  ]),
  ...load('anything', 'cs', 'CODE'),
  experiment('the base of a data segment counts in 32-bit code only', lines(
    describe('FREE', 0xf3, 0xc, 0x20_6000), 'mov dword ptr [DATA], 55\nmov eax, FREE\nmov ds, eax',
    'mov ebx, DATA\nmov ecx, [rbx]\nKERNEL32\nxor ebx, ebx\nmov edx, [ebx]')),
  experiment('loading FS clears the upper half of its base', lines(
    'mov ecx, 0xc0000100\nmov edx, 0x1234\nmov eax, 0x5678\nwrmsr\nmov eax, DATA_SEG',
    'mov fs, eax')),
  experiment('null clears the base of FS', lines(
    'mov ecx, 0xc0000100\nmov edx, 0x1234\nmov eax, 0x5678\nwrmsr\nxor eax, eax\nmov fs, eax')),
  experiment('the base of GS from a descriptor', lines(
    describe('FREE', 0xf3, 0xc, 0x8765_4321), 'mov eax, FREE\nmov gs, eax')),
  experiment('POP FS', 'push USER_DATA\npop fs'),
  experiment('POP FS in 16 bits', 'pushw USER_DATA\npopw fs'),
  experiment('user: POP GS of kernel data', 'USER64\npush DATA_SEG\npop gs'),
  experiment('PUSH FS', 'mov eax, USER_DATA\nmov fs, eax\npush fs\npushw fs'),
  experiment('LFS', 'mov dword ptr [DATA], 0x1234\nmov word ptr [DATA + 4], USER_DATA\n'
    + 'lfs eax, [DATA]'),
  experiment('LSS of null in 64-bit code', 'mov qword ptr [DATA], 0\nlss eax, [DATA]'),
  experiment('LGS of kernel data from the user',
    'mov word ptr [DATA + 4], DATA_SEG\nUSER64\nlgs eax, [DATA + ALIAS]'),
  experiment('LES is #UD', '.byte 0xc4, 0x00'),
  experiment('MOV from a segment register to 64 bits', 'mov rax, ss\nmov cx, ss\nmov edx, ss'),
  experiment('MOV to memory from a segment register has 16 bits',
    'mov qword ptr [OUT], -1\n.byte 0x48\nmov [OUT], ss'),
  experiment('MOV to segment register 6', '.byte 0x8e, 0xf0'),
  experiment('MOV from segment register 7', '.byte 0x8c, 0xf8'),
  experiment('RDFSBASE without CR4.FSGSBASE', 'rdfsbase rax'),
  experiment('RDFSBASE and WRGSBASE', 'mov eax, 0x106a0\nmov cr4, rax\nmov rax, 0x123456789a\n'
    + 'wrgsbase rax\nwrfsbase eax\nrdfsbase rcx\nrdgsbase rdx\nrdgsbase ebx'),
  experiment('WRFSBASE of a non-canonical address',
    'mov eax, 0x106a0\nmov cr4, rax\nmov rax, 0x800000000000\nwrfsbase rax'),
  experiment('user: WRFSBASE', 'mov eax, 0x106a0\nmov cr4, rax\nUSER64\nmov eax, 77\n'
    + 'wrfsbase rax'),
  experiment('32-bit user: RDFSBASE is #UD',
    'mov eax, 0x106a0\nmov cr4, rax\nUSER32\n.byte 0xf3, 0x0f, 0xae, 0xc0'),
  experiment('LLDT of null', 'mov eax, LDT_SEL\nlldt ax\nxor eax, eax\nlldt ax\nmov eax, 0xf\n'
    + 'mov ds, eax'),
  experiment('LLDT through an LDT', `${USE_LDT}\nmov eax, 0xc\nlldt ax`),
  experiment('LLDT beyond the table', 'mov eax, 0x400\nlldt ax'),
  experiment('LLDT whose second half is beyond the table',
    'lgdt [1f]\nmov eax, LDT_SEL\nlldt ax\n1: .word 0x6b\n.quad GDT'),
  experiment('LTR of null', 'xor eax, eax\nltr ax'),
  experiment('LTR of a busy TSS', 'mov eax, TSS_SEL\nltr ax'),
  experiment('LTR of an upper half with type bits',
    'mov byte ptr [GDT + TSS2_SEL + 13], 1\nmov eax, TSS2_SEL\nltr ax'),
  experiment('LTR of a non-canonical base',
    'mov dword ptr [GDT + TSS2_SEL + 8], 0x8000\nmov eax, TSS2_SEL\nltr ax'),
  experiment('STR and SLDT', 'mov eax, LDT_SEL\nlldt ax\nmov rax, -1\nstr rax\nmov rcx, -1\n'
    + 'sldt ecx\nmov rdx, -1\nstr dx\nmov qword ptr [OUT], -1\n.byte 0x48\nstr [OUT]'),
  experiment('SGDT and SIDT', 'sgdt [OUT]\nsidt [OUT + 16]'),
  experiment('32-bit user: SGDT and SIDT', 'USER32\nsgdt [OUT + ALIAS]\nsidt [OUT + ALIAS + 16]'),
  experiment('LGDT of a non-canonical base', 'lgdt [1f]\n1: .word 0x3ff\n.quad 0x800000000000'),
  experiment('LIDT of a non-canonical base', 'lidt [1f]\n1: .word 0x3ff\n.quad 0x800000000000'),
  experiment('LGDT takes 64 bits in 64-bit code whatever its prefixes',
    '.byte 0x66\nlgdt [1f]\nsgdt [OUT]\nlgdt [gdt_pointer]\njmp 2f\n'
    + '1: .word 0x3fe\n.quad 0x7654321000\n2:'),
  experiment('LGDT in 32-bit code takes 32 bits', 'KERNEL32\nlgdt [1f]\nsgdt [OUT]\n'
    + 'jmp 2f\n1: .word 0x3fe\n.quad 0x7600200000\n2:'),
  experiment('SMSW', 'mov rax, -1\nsmsw rax\nmov rcx, -1\nsmsw ecx\nmov rdx, -1\nsmsw dx\n'
    + 'mov qword ptr [OUT], -1\nsmsw [OUT]'),
  experiment('LMSW sets and keeps PE',
    'mov eax, 0xe\nlmsw ax\nmov rcx, cr0\nxor eax, eax\nlmsw ax'),
  experiment('CLTS', 'mov eax, 0x8005003b\nmov cr0, rax\nclts'),
  experiment('ARPL is no instruction of 64-bit code; MOVSXD is', 'mov eax, -5\nmovsxd rcx, eax'),
  experiment('32-bit user: ARPL',
    'USER32\nmov eax, 8\nmov ecx, 3\narpl ax, cx\nsetz dl\narpl ax, cx'),
]

const NOT_LONG = 'there are no such descriptors in long mode (AMD APM 3, LAR); TCG knows them'

const known: readonly Difference[] = [
  [/VERW of type bits 0x[1345]$/, NOT_LONG, 'r8=cbd0e9599b466740'],
  [/LTR of type bits 0x1$/, NOT_LONG, 'vector=d ', 'frame0=150 '],
  [/LTR of type bits 0x1, not/, NOT_LONG, 'vector=d ', 'frame0=140 '],
  [/WRFSBASE of a non-canonical/, 'that is #GP (AMD APM 3); TCG takes it', 'vector=d '],
  [/LTR of null/, 'that is #GP (AMD APM 3); TCG takes it', 'vector=d '],
  [/LTR of a non-canonical base/, 'that is #GP (AMD APM 3); TCG takes it', 'vector=d ',
    'frame0=70 '],
  [/(LGDT|LIDT) of a non-canonical/, 'that is #GP (AMD APM 3); TCG takes it', 'vector=d '],
  [/LGDT takes 64 bits/, 'the operand size does not matter (AMD APM 3, LGDT); TCG takes 24 bits',
    'out0=765432100003fe '],
]

export const longSegments = withKnown([...typed(), ...named], known)
