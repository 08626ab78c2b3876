/**
 * Paging in long mode: permissions, reserved bits, accessed and dirty bits, large pages, TLBs.
 *
 * The window's pages have frames of their own; each experiment changes tables before it touches
 * the window, and invalidates what it changes later.
 */
import {
  alone, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

const P = 1
const NX = 1n << 63n

function entry(table: string, index: number, value: bigint): string {
  return lines(`mov dword ptr [${table} + ${index * 8}], ${hex(value & 0xffff_ffffn)}`,
    `mov dword ptr [${table} + ${index * 8 + 4}], ${hex(value >> 32n)}`)
}

const FRAMES = 0x30_0000n
const WINDOW_PT = 0x23_6000n
const WINDOW_PD = 0x23_5000n

function leaf(flags: bigint, page = 0): string {
  return entry('WINDOW_PT', page, FRAMES + BigInt(page) * 0x1000n | flags)
}

/** Reads, writes and executes the window's first page; the faults are noted, then the entries. */
function touch(user: boolean): string {
  const resume = user ? 'USER_RESUME' : 'RESUME'
  return lines(`${resume} 1f`, 'mov eax, [WINDOW]', `1: ${resume} 1f`,
    'mov dword ptr [WINDOW + 4], 77', '1: mov ebp, esp', `${resume} 1f`, 'mov ebx, WINDOW + 8',
    'call rbx', '1: mov esp, ebp')
}

const SHOW = lines('mov r8, [WINDOW_PT]', 'mov r9, [WINDOW_PD]', 'mov r10, [PDPT + 8]',
  'mov r11, [PML4]')
const RET = 'mov byte ptr [FRAMES + 8], 0xc3'

/** CR0.WP, CR4.SMEP, CR4.SMAP and RFLAGS.AC as bits of `how`. */
function mode(how: number): string {
  return lines(`mov eax, ${hex(how & 1 ? 0x8005_0033 : 0x8004_0033)}`, 'mov cr0, rax',
    `mov eax, ${hex(0x6a0 | (how & 2 ? 1 << 20 : 0) | (how & 4 ? 1 << 21 : 0))}`, 'mov cr4, rax',
    how & 8 ? 'pushq 0x40002\npopfq' : '')
}

function modeName(how: number): string {
  return ['WP', 'SMEP', 'SMAP', 'AC'].filter((_, i) => how >> i & 1).join(' ') || 'nothing set'
}

function matrix(): Experiment[] {
  const all: Experiment[] = []
  const uppers = [7n, 5n, 3n, 7n | NX]
  for (let flags = 0; flags < 8; flags++) {
    const bits = BigInt(P | flags << 1 & 6) | (flags & 4 ? NX : 0n)
    for (const upper of uppers) {
      const before = lines('LOG', RET, leaf(bits), entry('WINDOW_PD', 0, WINDOW_PT | upper))
      const what = `page ${hex(bits)} in table ${hex(upper)}`
      all.push(experiment(`user: ${what}`, lines(before, 'USER64', touch(true))))
      all.push(experiment(`user with AC: ${what}`, lines(before, mode(15), 'USER64',
        'pushq 0x40002\npopfq', touch(true))))
      for (let how = 0; how < 16; how++) {
        all.push(experiment(`kernel with ${modeName(how)}: ${what}`,
          lines(before, mode(how), touch(false), SHOW)))
      }
    }
  }
  return all
}

const LEVELS: readonly (readonly [string, string, number, bigint])[] = [
  ['PTE', 'WINDOW_PT', 0, FRAMES], ['PDE', 'WINDOW_PD', 0, WINDOW_PT],
  ['PDPTE', 'PDPT', 1, WINDOW_PD],
]

const reserved: readonly Experiment[] = LEVELS.flatMap(([name, table, index, address]) => [
  experiment(`${name} not present`, lines('LOG', entry(table, index, 0n), touch(false), SHOW)),
  experiment(`user: ${name} not present`, lines('LOG', entry(table, index, 0n), 'USER64',
    touch(true))),
  experiment(`${name} not present, all other bits set`,
    lines('LOG', entry(table, index, (1n << 64n) - 2n), touch(false))),
  ...[7, 8, 9, 11, 36, 40, 51, 52, 62].map((bit) => experiment(`${name} with bit ${bit}`,
    lines('LOG', RET, entry(table, index, address | 7n | 1n << BigInt(bit)), touch(false)))),
  experiment(`${name} with NX`, lines('LOG', RET, entry(table, index, address | 7n | NX),
    touch(false), SHOW)),
  experiment(`${name} with NX but no EFER.NXE`, lines('LOG', RET,
    'mov ecx, 0xc0000080\nrdmsr\nbtr eax, 11\nwrmsr', entry(table, index, address | 7n | NX),
    touch(false))),
  experiment(`user: ${name} with a reserved bit`, lines('LOG', RET,
    entry(table, index, address | 7n | 1n << 40n), 'USER64', touch(true))),
  experiment(`${name} without accessed bits after reads`,
    lines(entry(table, index, address | 7n), 'mov eax, [WINDOW]', SHOW)),
  experiment(`${name} after writes`,
    lines(entry(table, index, address | 7n), 'mov [WINDOW], eax', SHOW)),
  experiment(`${name} after execution`,
    lines(RET, entry(table, index, address | 7n), 'mov ebx, WINDOW + 8\ncall rbx', SHOW)),
  experiment(`${name} after a prefetch and INVLPG`,
    lines(entry(table, index, address | 7n), 'invlpg [WINDOW]', SHOW)),
])

/** Large pages: entries that map instead of pointing on. */
const PD_LARGE = 0x87n
const large: readonly Experiment[] = [
  experiment('a 2 MiB page', lines('LOG', entry('WINDOW_PD', 0, 0x20_0000n | PD_LARGE),
    'mov dword ptr [FRAMES + 0x20], 5', 'mov ecx, [WINDOW + 0x100020]',
    'mov r9, [WINDOW_PD]', 'mov [WINDOW + 0x100024], ecx', 'mov r10, [WINDOW_PD]',
    'mov edx, [FRAMES + 0x24]')),
  ...[12, 13, 20].map((bit) => experiment(`a 2 MiB page with bit ${bit}`, lines('LOG',
    entry('WINDOW_PD', 0, 0x20_0000n | PD_LARGE | 1n << BigInt(bit)), touch(false)))),
  experiment('a 1 GiB page', lines('LOG', entry('PDPT', 1, PD_LARGE),
    'mov dword ptr [FRAMES + 0x20], 5', 'mov ecx, [WINDOW + FRAMES + 0x20]', 'mov r9, [PDPT + 8]',
    'mov [WINDOW + FRAMES + 0x24], ecx', 'mov r10, [PDPT + 8]', 'mov edx, [FRAMES + 0x24]')),
  ...[12, 13, 21, 29].map((bit) => experiment(`a 1 GiB page with bit ${bit}`, lines('LOG',
    'mov dword ptr [0], 3\nmov byte ptr [8], 0xc3', entry('PDPT', 1, PD_LARGE | 1n << BigInt(bit)),
    touch(false)))),
  experiment('bit 7 in a PML4 entry is reserved', lines('LOG',
    entry('PML4', 1, 0x23_1000n | 0x87n), 'movabs rbx, 0x8000000000', 'RESUME 1f',
    'mov eax, [rbx]\n1:')),
  experiment('a read-only 2 MiB page', lines('LOG', entry('WINDOW_PD', 0, 0x20_0000n | 0x85n),
    'mov ecx, [WINDOW]', 'RESUME 1f', 'mov [WINDOW], ecx\n1: mov r9, [WINDOW_PD]')),
  experiment('INVLPG of a 2 MiB page forgets all of it', lines('LOG',
    entry('WINDOW_PD', 0, 0x20_0000n | PD_LARGE), 'mov ecx, [WINDOW + 0x1000]',
    'mov edx, [WINDOW + 0x100000]', entry('WINDOW_PD', 0, 0n), 'invlpg [WINDOW + 0x180000]',
    'RESUME 1f', 'mov eax, [WINDOW + 0x1000]\n1: RESUME 1f\nmov eax, [WINDOW + 0x100000]\n1:')),
]

const tlb: readonly Experiment[] = [
  experiment('INVLPG forgets a page', lines('mov dword ptr [FRAMES + 0x1000], 7',
    'mov eax, [WINDOW]', leaf(0x1007n), 'invlpg [WINDOW]', 'mov ecx, [WINDOW]', SHOW)),
  experiment('INVLPG forgets a global page', lines('mov dword ptr [FRAMES + 0x1000], 7',
    leaf(0x107n), 'mov eax, [WINDOW]', leaf(0x1107n), 'invlpg [WINDOW]', 'mov ecx, [WINDOW]')),
  experiment('MOV to CR3 forgets a page', lines('mov dword ptr [FRAMES + 0x1000], 7',
    'mov eax, [WINDOW]', leaf(0x1007n), 'mov rax, cr3\nmov cr3, rax', 'mov ecx, [WINDOW]')),
  experiment('a change of CR4.PGE forgets global pages', lines('mov dword ptr [FRAMES + 0x1000], 7',
    leaf(0x107n), 'mov eax, [WINDOW]', leaf(0x1107n), 'mov eax, 0x620\nmov cr4, rax',
    'mov ecx, [WINDOW]')),
  experiment('a page that becomes present needs no INVLPG', lines('LOG', leaf(0n), 'RESUME 1f',
    'mov eax, [WINDOW]\n1:', leaf(7n), 'mov dword ptr [FRAMES], 9', 'mov ecx, [WINDOW]')),
  experiment('a page that becomes writable needs no INVLPG after its fault', lines('LOG', leaf(5n),
    'mov eax, [WINDOW]', 'RESUME 1f', 'mov [WINDOW], eax\n1:', leaf(7n),
    'mov dword ptr [WINDOW], 9', 'mov ecx, [FRAMES]')),
  experiment('a clean page becomes dirty at the first write, after reads', lines(leaf(0x27n),
    'mov eax, [WINDOW]', 'mov r12, [WINDOW_PT]', 'mov [WINDOW], eax', SHOW)),
  experiment('LOCK CMPXCHG that fails makes a page dirty', lines(leaf(0x27n),
    'mov eax, 1', 'lock cmpxchg [WINDOW], ecx', SHOW)),
  experiment('LOCK CMPXCHG on a read-only page faults though it would not store', lines(leaf(5n),
    'mov eax, 1', 'lock cmpxchg [WINDOW], ecx')),
  experiment('CMPXCHG on a read-only page faults though it would not store', lines(leaf(5n),
    'mov eax, 1', 'cmpxchg [WINDOW], ecx')),
  experiment('INVLPG of a non-canonical address does nothing',
    'movabs rbx, 0x800000000000\ninvlpg [rbx]'),
  experiment('INVLPG of a register', '.byte 0x0f, 0x01, 0xfa'),
  ...['mov eax, [WINDOW + 0xffe]', 'mov [WINDOW + 0xffe], eax', 'mov rax, [WINDOW + 0xffc]',
    'mov [WINDOW + 0xffc], rax', 'add dword ptr [WINDOW + 0xffe], 1',
    'lock add dword ptr [WINDOW + 0xffe], 1', 'xchg [WINDOW + 0xffe], eax',
    'movups xmm0, [WINDOW + 0xff8]', 'movups [WINDOW + 0xff8], xmm0',
    'push qword ptr [WINDOW + 0xffc]', 'mov esp, WINDOW + 0x1004\npush rax',
    'mov esp, WINDOW + 0xffc\npop rax', 'fld tbyte ptr [WINDOW + 0xffa]',
    'fldz\nfstp tbyte ptr [WINDOW + 0xffa]', 'fnsave [WINDOW + 0xfc0]', 'fxsave [WINDOW + 0xe80]',
    'mov esp, WINDOW + 0x1010\n.byte 0xc8, 0x20, 0, 0',
    'cmpxchg8b [WINDOW + 0xffc]', 'sgdt [WINDOW + 0xffc]', 'lgdt [WINDOW + 0xffc]',
    'bts dword ptr [WINDOW + 0xffe], 3', 'mov ecx, 0x8000\nbt [WINDOW], ecx',
    'mov esi, WINDOW + 0xff8\nmov edi, OUT\nmov ecx, 8\nrep movsw',
    'mov edi, WINDOW + 0xff8\nmov esi, OUT\nmov ecx, 8\nrep movsw',
    'mov edi, WINDOW + 0xff8\nmov ecx, 8\nrep stosd',
    'mov edi, WINDOW + 0xff9\nmov ecx, 8\nrep stosd',
    'mov edi, WINDOW + 0xff8\nmov ecx, 8\nxor eax, eax\nrepe scasd',
    'std\nmov edi, WINDOW + 0x2003\nmov ecx, 8\nrep stosd',
  ].map((code) => experiment(`across the end of a page: ${code.split('\n').at(-1)}`,
    lines(leaf(0n, 1), 'xor eax, eax', 'mov qword ptr [FRAMES + 0xff8], -1', code,
      'mov r9, [FRAMES + 0xff8]'))),
]

const PCID_ON = 'mov eax, 0x206a0\nmov cr4, rax\n'
const pcid: readonly Experiment[] = [
  alone('MOV to CR3 with bit 63 under PCID',
    `${PCID_ON}movabs rax, 0x8000000000230005\nmov cr3, rax`,
    'TCG has no PCID', 'vector=7f ', 'cr3=230005 '),
  alone('PCIDE cannot be set with a PCID', 'mov eax, PML4 + 5\nmov cr3, rax\nmov eax, 0x206a0\n'
    + 'mov cr4, rax', 'TCG has no PCID', 'vector=d '),
  alone('INVPCID of a page', lines(PCID_ON, 'mov dword ptr [FRAMES + 0x1000], 7',
    'mov eax, [WINDOW]', leaf(0x1007n), 'mov qword ptr [OUT], 0\nmov dword ptr [OUT + 8], WINDOW',
    'xor eax, eax\ninvpcid rax, [OUT]\nmov ecx, [WINDOW]'), 'TCG has no INVPCID', 'vector=7f ',
  'rcx=7 '),
  alone('INVPCID of everything', lines(PCID_ON, 'mov dword ptr [FRAMES + 0x1000], 7',
    leaf(0x107n), 'mov eax, [WINDOW]', leaf(0x1107n), 'mov eax, 2\ninvpcid rax, [OUT]',
    'mov ecx, [WINDOW]'), 'TCG has no INVPCID', 'vector=7f ', 'rcx=7 '),
  alone('INVPCID of type 4', `${PCID_ON}mov eax, 4\ninvpcid rax, [OUT]`, 'TCG has no INVPCID',
    'vector=d '),
  alone('INVPCID with reserved bits', `${PCID_ON}mov word ptr [OUT], 0x1000\nxor eax, eax\n`
    + 'invpcid rax, [OUT]', 'TCG has no INVPCID', 'vector=d '),
  alone('INVPCID of a PCID without CR4.PCIDE', 'mov dword ptr [OUT], 1\nmov eax, 1\n'
    + 'invpcid rax, [OUT]', 'TCG has no INVPCID', 'vector=d '),
  alone('user: INVPCID', 'USER64\nxor eax, eax\ninvpcid rax, [OUT + ALIAS]', 'TCG has no INVPCID',
    'vector=d '),
]

const known: readonly Difference[] = [
  [/^user: .*reserved bit/, 'a reserved bit is found in a present entry (AMD APM 2, 8.4.2); TCG '
    + 'says not present', 'out0=400e0000000d '],
  [/PML4 entry is reserved/, 'a reserved bit is found in a present entry (AMD APM 2, 8.4.2); TCG '
    + 'says not present', 'out0=80000e00000009 '],
  [/end of a page: (add|lock|xchg|cmpxchg8b|bts)/, 'reading to write back is a write access, as on '
    + 'the host CPU; TCG says read', 'vector=e ', 'frame0=2 '],
  [/with bit|reserved|NX but no/, 'a reserved bit is found in a present entry (AMD APM 2, 8.4.2); '
    + 'TCG says not present', 'out0=400e00000009 '],
]

export const longPaging = withKnown([...matrix(), ...reserved, ...large, ...tlb, ...pcid], known)
