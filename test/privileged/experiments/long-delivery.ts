/**
 * Delivery in long mode: gates and their faults, stacks, double faults, interrupts from outside.
 */
import {
  describe, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

/** Changes of the gate of a vector. */
function gateOf(
  vector: number, { selector, access, ist }: { selector?: string, access?: number, ist?: number },
): string {
  const at = `IDT + 16 * ${vector}`
  return lines(
    selector === undefined ? '' : `mov word ptr [${at} + 2], ${selector}`,
    ist === undefined ? '' : `mov byte ptr [${at} + 4], ${ist}`,
    access === undefined ? '' : `mov byte ptr [${at} + 5], ${hex(access)}`)
}

function types(): Experiment[] {
  const all: Experiment[] = []
  for (let type = 0; type < 32; type++) {
    const gate = gateOf(0x40, { access: 0xe0 | type })
    all.push(experiment(`INT through a gate with type bits ${hex(type)}`, `${gate}\nint 0x40`))
  }
  for (let dpl = 0; dpl < 4; dpl++) {
    const gate = gateOf(0x40, { access: 0x8e | dpl << 5 })
    all.push(
      experiment(`user: INT through a gate of DPL ${dpl}`, `${gate}\nUSER64\nint 0x40`),
      experiment(`user: INT through a missing gate of DPL ${dpl}`,
        `${gateOf(0x40, { access: 0x0e | dpl << 5 })}\nUSER64\nint 0x40`),
      experiment(`user: UD2 through a gate of DPL ${dpl}`,
        `${gateOf(6, { access: 0x8e | dpl << 5 })}\nUSER64\nud2`),
    )
  }
  return all
}

/** Code segments that a gate names. */
const targets: readonly (readonly [string, string, string])[] = [
  ['null', '0', ''],
  ['null with RPL 3', '3', ''],
  ['beyond the table', '0x400', ''],
  ['in an LDT that is not there', '4', ''],
  ['data', 'DATA_SEG', ''],
  ['a TSS', 'TSS_SEL', ''],
  ['32-bit code', 'CODE32', ''],
  ['code with L and D', 'FREE', describe('FREE', 0x9b, 0xe)],
  ['code that is not present', 'FREE', describe('FREE', 0x1b, 0xa)],
  ['not accessed code', 'FREE', `${describe('FREE', 0x98, 0xa)}`],
  ['code with RPL 3', 'CODE + 3', ''],
  ['conforming code', 'FREE', describe('FREE', 0x9f, 0xa)],
  ['code of level 1', 'FREE', describe('FREE', 0xbb, 0xa)],
  ['code of level 3', 'FREE', describe('FREE', 0xfb, 0xa)],
  ['conforming code of level 3', 'FREE', describe('FREE', 0xff, 0xa)],
]

const throughTargets = targets.flatMap(([name, selector, before]) =>
  ['', 'USER64'].flatMap((level) => [
    experiment(`${level ? 'user' : 'kernel'}: INT to a code segment that is ${name}`,
      lines(before, gateOf(0x40, { selector, access: 0xee }), level, 'int 0x40')),
    experiment(`${level ? 'user' : 'kernel'}: #UD to a code segment that is ${name}`,
      lines(before, gateOf(6, { selector }), level, 'ud2')),
  ]))

const stacks: readonly Experiment[] = [
  experiment('a stack that is not aligned is aligned first', 'sub rsp, 5\nint OPEN'),
  experiment('a stack that is not aligned is aligned first, with error code', 'sub rsp, 5\nint 13'),
  experiment('IST 2 at level 0', `${gateOf(6, { ist: 2 })}\nud2`),
  experiment('IST 2 from the user', `${gateOf(6, { ist: 2 })}\nUSER64\nud2`),
  experiment('IST 2, not aligned', `add qword ptr [TSS + 44], -3\n${gateOf(6, { ist: 2 })}\nud2`),
  experiment('IST beyond the limit of the TSS is #TS',
    `${gateOf(6, { ist: 7 })}\n${shortTss(0x5a)}ud2`),
  experiment('IST 7 at the end of the TSS',
    `${gateOf(6, { ist: 7 })}\nmov dword ptr [TSS + 84], IST2\n${shortTss(0x5b)}ud2`),
  experiment('RSP0 beyond the limit of the TSS is #TS', `${shortTss(10)}USER64\nud2`),
  experiment('a non-canonical IST is #SS',
    `${gateOf(6, { ist: 2 })}\nmov dword ptr [TSS + 48], 0x8000\nud2`),
  experiment('a non-canonical RSP0 makes a double fault',
    'mov dword ptr [TSS + 8], 0x8000\nUSER64\nud2'),
  experiment('an RSP0 in no page makes a double fault',
    'mov dword ptr [TSS + 4], 0x3000000\nUSER64\nud2'),
  experiment('a gate to level 1 takes RSP1', lines(describe('FREE', 0xbb, 0xa),
    describe('FREE2', 0xb3, 0xc), gateOf(6, { selector: 'FREE' }),
    'mov word ptr [IDT + 16 * 6], offset 1f - 0x100000', 'mov word ptr [IDT + 16 * 6 + 6], 0x2010',
    'mov qword ptr [TSS + 12], RSP1 + ALIAS', 'USER64', 'ud2',
    '1: mov eax, cs', 'mov ecx, ss', 'mov rdx, [rsp]', 'mov rbx, [rsp + 32]', 'mov rsi, rsp',
    'int DONE_VECTOR')),
  experiment('a kernel stack in no page makes a double fault', 'mov esp, 0x3000000\nud2'),
  experiment('a stack that ends at a page that is not there',
    'MAP 0, 0\nmov esp, WINDOW + 0x1008\nud2'),
  experiment('user: a stack in no page does not matter', 'USER64\nmov esp, 0x3000000\nud2'),
  experiment('a stack pointer at the edge of the canonical addresses',
    'mov rsp, 0xffff800000000008\nint OPEN'),
]

function shortTss(limit: number): string {
  return lines(`mov word ptr [GDT + TSS_SEL], ${limit}`, 'mov byte ptr [GDT + TSS_SEL + 5], 0x89',
    'mov eax, TSS_SEL', 'ltr ax', '')
}

const NO_GP = gateOf(13, { access: 0 })
const NO_NP = gateOf(11, { access: 0 })
const NO_UD = gateOf(6, { access: 0 })
const NO_PF = gateOf(14, { access: 0 })
const NO_DF = gateOf(8, { access: 0 })

const doubles: readonly Experiment[] = [
  experiment('#UD without a gate is #NP of its entry', `${NO_UD}\nud2`),
  experiment('user: #UD without a gate is #NP of its entry', `${NO_UD}\nUSER64\nud2`),
  experiment('#UD beyond the table is #GP of its entry, then a double fault',
    'lidt [1f]\nud2\n1: .word 0x5f\n.quad IDT'),
  experiment('#GP without a gate is a double fault',
    `${NO_GP}\nmov rbx, 0x800000000000\nmov rax, [rbx]`),
  experiment('#PF without a gate is a double fault', `${NO_PF}\nmov rax, [0x3000000]`),
  experiment('#UD without a gate and without #NP is a double fault', `${NO_UD}\n${NO_NP}\nud2`),
  experiment('#DE without a gate is a double fault', `${gateOf(0, { access: 0 })}\n`
    + 'xor ecx, ecx\ndiv ecx'),
  experiment('INT without a gate and without #NP is a double fault',
    `${gateOf(0x40, { access: 0 })}\n${NO_NP}\nint 0x40`),
  experiment('#DF without a gate is a shutdown', `${NO_GP}\n${NO_DF}\nmov rbx, 0x800000000000\n`
    + 'mov rax, [rbx]'),
  experiment('the experiment after a shutdown', ''),
  experiment('#DF on a bad stack is a shutdown',
    `mov byte ptr [IDT + 16 * 8 + 4], 0\nmov esp, 0x3000000\nud2`),
  experiment('a page fault in the delivery of #UD is a page fault',
    `${gateOf(6, { ist: 2 })}\nmov dword ptr [TSS + 44], 0x3000000\nud2`),
  experiment('a page fault in the delivery of a page fault is a double fault',
    `${gateOf(14, { ist: 2 })}\nmov dword ptr [TSS + 44], 0x3000000\nmov rax, [0x3000008]`),
  experiment('a page fault in the delivery of #GP is a page fault',
    `${gateOf(13, { ist: 2 })}\nmov dword ptr [TSS + 44], 0x3000000\n`
    + 'mov rbx, 0x800000000000\nmov rax, [rbx]'),
  experiment('a #GP in the delivery of a page fault is a double fault',
    `${gateOf(14, { selector: '0' })}\nmov rax, [0x3000008]`),
  experiment('#BR without a gate is #NP', `${gateOf(5, { access: 0 })}\nKERNEL32\n`
    + 'mov dword ptr [esp - 8], 1\nmov dword ptr [esp - 4], 9\nmov eax, 10\n'
    + '.byte 0x62, 0x44, 0x24, 0xf8'),
  experiment('#NM without a gate is #NP', `${gateOf(7, { access: 0 })}\n`
    + 'mov eax, 0x8005003b\nmov cr0, rax\nfld1'),
  experiment('an empty table is a shutdown', 'lidt [1f]\nud2\n1: .word 0\n.quad 0'),
  experiment('an IDT in no page is a shutdown', 'lidt [1f]\nud2\n1: .word 0xfff\n.quad 0x3000000'),
  experiment('a GDT in no page is a shutdown', 'lgdt [1f]\nud2\n1: .word 0xff\n.quad 0x3000000'),
  experiment('an IDT whose second page is missing',
    'mov rdi, WINDOW + 0x1000 - 0x60\nmov esi, IDT\nmov ecx, 12\nrep movsq\n'
    + 'MAP 1, 0\nlidt [2f]\nud2\n2: .word 0xfff\n.quad WINDOW + 0x1000 - 0x60'),
]

function interrupted(name: string, code: string): Experiment {
  return experiment(`interrupt: ${name}`, lines(
    'mov dword ptr [APIC + 0xf0], 0x1ff', 'mov dword ptr [APIC + 0x80], 0',
    'mov dword ptr [APIC + 0x300], 0x44040',
    'xor ecx, ecx', 'inc ecx', code, 'inc ecx', 'inc ecx', 'inc ecx'))
}

const outside: readonly Experiment[] = [
  interrupted('STI lets one instruction pass', 'sti'),
  interrupted('STI and CLI let none in', 'sti\ncli\nxor edx, edx'),
  experiment('the next STI lets it in', 'sti\nnop\nnop'),
  interrupted('POPF lets it in at once', 'pushq 0x202\npopfq'),
  interrupted('IRET lets it in at once', 'mov rax, rsp\npushq DATA_SEG\npush rax\npushq 0x202\n'
    + 'pushq CODE\npushq offset 1f\niretq\n1:'),
  interrupted('IRET to the user lets it in before an instruction of his', 'mov rax, rsp\n'
    + 'pushq USER_DATA\npushq USER_STACK + ALIAS\npushq 0x202\n'
    + 'pushq USER64\npushq offset 1f + ALIAS\niretq\n1: inc ecx'),
  interrupted('MOV SS behind STI holds it off for one instruction more',
    'mov eax, ss\npushq 0x202\nsti\nmov ss, eax'),
  interrupted('STI and HLT', 'sti\nhlt'),
  interrupted('SYSRET with IF', 'mov r11d, 0x202\nmov ecx, offset 1f + ALIAS\nSYSRETQ\n1:'),
  interrupted('STI, and a fault in its shadow', 'sti\nud2'),
  experiment('the interrupt comes after the fault', 'sti\nnop\nnop'),
]

const known: readonly Difference[] = [
  [/MOV SS behind STI/, 'only the first of several shadows is certain (SDM 3A, 6.8.3); here each '
    + 'counts', 'vector=40 ', 'rcx=2 '],
]

export const longDelivery = withKnown(
  [...types(), ...throughTargets, ...stacks, ...doubles, ...outside], known)
