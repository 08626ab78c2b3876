/**
 * Segment limits and types in 32-bit protected mode, which TCG does not check; paging with 32-bit
 * entries and PAE; what 16-bit code and stacks do.
 */
import {
  alone, describe, type Difference, experiment, type Experiment, hex, lines, withKnown,
} from '../experiment.ts'

const LAX = 'TCG checks neither limits nor types'
const GP = 'vector=d '
const SS = 'vector=c '
const FINE = 'vector=7f '

function access(
  name: string, segment: string, code: string, expected: string, register = 'fs',
): Experiment {
  return alone(`segment: ${name}`, lines(segment, `mov eax, FREE\nmov ${register}, eax`, code),
    LAX, expected)
}

const DATA_100 = describe('FREE', 0x93, 4, 0x20_6000, 0xff)
const DOWN_100 = describe('FREE', 0x97, 4, 0x20_6000, 0xff)
const DOWN_16 = describe('FREE', 0x97, 0, 0x20_6000, 0xff)
const PAGES = describe('FREE', 0x93, 0xc, 0x20_0000, 6)

const limits: readonly Experiment[] = [
  access('a byte at the limit', DATA_100, 'mov al, fs:[0xff]', FINE),
  access('a byte beyond the limit', DATA_100, 'mov al, fs:[0x100]', GP),
  access('a doubleword across the limit', DATA_100, 'mov eax, fs:[0xfd]', GP),
  access('a doubleword at the limit', DATA_100, 'mov eax, fs:[0xfc]', FINE),
  access('a store beyond the limit', DATA_100, 'mov fs:[0x100], al', GP),
  access('an address that wraps', DATA_100, 'mov eax, fs:[0xfffffffe]', GP),
  access('16 bytes across the limit', DATA_100, 'movups xmm0, fs:[0xf1]', GP),
  access('10 bytes across the limit', DATA_100, 'fld tbyte ptr fs:[0xf7]', GP),
  access('a limit in pages', PAGES, 'mov al, fs:[0x6fff]', FINE),
  access('beyond a limit in pages', PAGES, 'mov al, fs:[0x7000]', GP),
  access('expand-down, below', DOWN_100, 'mov al, fs:[0xff]', GP),
  access('expand-down, above', DOWN_100, 'mov al, fs:[0x100]', FINE),
  access('expand-down, across', DOWN_100, 'mov eax, fs:[0xfe]', GP),
  access('expand-down of 16 bits, above', DOWN_16, 'mov al, fs:[0xffff]', FINE),
  access('expand-down of 16 bits, too far above', DOWN_16, 'mov al, fs:[0x10000]', GP),
  access('a store to read-only data', describe('FREE', 0x91), 'mov fs:[DATA], al', GP),
  access('a load from read-only data', describe('FREE', 0x91), 'mov al, fs:[DATA]', FINE),
  access('a store to code', describe('FREE', 0x9b), 'mov fs:[DATA], al', GP),
  access('a load from code that may be read', describe('FREE', 0x9b), 'mov al, fs:[DATA]', FINE),
  alone('segment: a load from code that may not be read', lines(
    describe('FREE', 0x99), 'mov dword ptr [DATA], offset 1f\nmov word ptr [DATA + 4], FREE',
    'jmp fword ptr [DATA]', '1: mov al, cs:[DATA]'), LAX, GP),
  alone('segment: a store to code through CS', 'mov cs:[DATA], al', LAX, GP),
  alone('segment: a null DS', 'xor eax, eax\nmov ds, eax\nmov al, [DATA]', LAX, GP),
  alone('segment: a null FS, written', 'mov fs:[DATA], al', LAX, GP),
  alone('segment: LEA through a null segment', 'lea eax, fs:[0x1234]', LAX, FINE, 'rax=1234 '),
  alone('segment: MOVS from a null segment', 'mov esi, DATA\nmov edi, DATA\nfs movsb', LAX, GP),
  alone('segment: MOVS to a null ES',
    'xor eax, eax\nmov es, eax\nmov esi, DATA\nmov edi, DATA\nmovsb',
    LAX, GP),
  alone('segment: PUSH beyond the limit', lines(describe('FREE', 0x93, 4, 0, 0x20_6fff & 0xfffff),
    'mov eax, FREE\nmov ss, eax\npush eax'), LAX, 'shutdown'),
  alone('segment: a load through a stack beyond its limit', lines(
    describe('FREE', 0x93, 0xc, 0, 0x213),
    'mov eax, FREE\nmov ss, eax\nmov eax, [ebp + 0x1000000]'),
  LAX, SS),
  alone('segment: POP from beyond the limit', lines(
    describe('FREE', 0x93, 0xc, 0, 0x213), 'mov eax, FREE\nmov ss, eax\n'
    + 'mov eax, [esp + 0x100]'), LAX, SS),
  alone('segment: a jump beyond the limit of CS', lines(
    describe('FREE', 0x9b, 0xc, 0, 0x1ff), 'mov dword ptr [DATA], offset 1f',
    'mov word ptr [DATA + 4], FREE\njmp fword ptr [DATA]', '1: mov eax, 0x200000\njmp eax'),
  LAX, GP),
  alone('segment: an instruction across the limit of CS', lines(
    describe('FREE', 0x9b, 4, 0x20_6000, 0x100), 'mov dword ptr [DATA + 0xfe], 0x000001b8',
    'mov word ptr [DATA + 0x104], FREE', 'mov dword ptr [DATA + 0x100 + 0], 0x00fe0001',
    'mov dword ptr [OUT], 0xfe\nmov word ptr [OUT + 4], FREE\njmp fword ptr [OUT]'), LAX, GP),
  alone('segment: a call whose target is beyond the limit', lines(
    describe('FREE', 0x9b, 0xc, 0, 0x1ff), 'mov dword ptr [DATA], offset 1f',
    'mov word ptr [DATA + 4], FREE\njmp fword ptr [DATA]', '1: mov eax, 0x200000\ncall eax'),
  LAX, GP),
]

/** As in long mode, but few: permission by WP and level, reserved bits, accessed and dirty bits. */
function touch(): string {
  return lines('RESUME 1f', 'mov eax, [WINDOW]', '1: RESUME 1f', 'mov dword ptr [WINDOW + 4], 77',
    '1: mov ebp, esp', 'RESUME 1f', 'mov ebx, WINDOW + 8', 'call ebx', '1: mov esp, ebp')
}

const RET = 'mov byte ptr [FRAMES + 8], 0xc3'

function paged(
  kind: 'PAGING' | 'PAE_PAGING', name: string, before: string, level: string,
): Experiment {
  const [table, directory] = kind === 'PAGING' ? ['PT32', 'PD32 + 1024']
    : ['WINDOW_PT', 'WINDOW_PD']
  const show = level ? '' : `mov ecx, [${table}]\nmov edi, [${directory}]`
  return experiment(`${kind === 'PAGING' ? '32-bit' : 'PAE'} paging, ${level || 'kernel'}: ${name}`,
    lines('LOG', RET, before, kind, level, touch(), show))
}

const permissions = (['PAGING', 'PAE_PAGING'] as const).flatMap((kind) =>
  [0, 1, 3, 5, 7].flatMap((leaf) => [7, 5, 3].flatMap((upper) => ['', 'USER'].map((level) => {
    const [table, directory, next] = kind === 'PAGING' ? ['PT32', 'PD32 + 1024', 'PT32']
      : ['WINDOW_PT', 'WINDOW_PD', 'WINDOW_PT']
    return paged(kind, `page ${leaf} in table ${upper}`, lines(
      `mov dword ptr [${table}], FRAMES + ${leaf}`,
      `mov dword ptr [${directory}], ${next} + ${upper}`), level)
  }))))

const tables: readonly Experiment[] = [
  ...['', 'USER'].flatMap((level) => [
    paged('PAE_PAGING', 'NX', 'mov dword ptr [WINDOW_PT + 4], 0x80000000', level),
    paged('PAE_PAGING', 'NX above', 'mov dword ptr [WINDOW_PD + 4], 0x80000000', level),
    paged('PAE_PAGING', 'a large page', 'mov dword ptr [WINDOW_PD], FRAMES - 0x100000 + 0x87',
      level),
    paged('PAGING', 'a large page', 'mov byte ptr [0x400008], 0xc3\n'
      + 'mov dword ptr [PD32 + 1024], 0x400087', level),
    paged('PAGING', 'no table', 'mov dword ptr [PD32 + 1024], 0', level),
    paged('PAE_PAGING', 'no directory', 'mov dword ptr [PDPT + 8], 0', level),
  ]),
  ...[36, 51, 52, 62].map((bit) => paged('PAE_PAGING', `bit ${bit} in an entry`,
    `mov dword ptr [WINDOW_PT + 4], ${hex(2 ** (bit - 32))}`, '')),
  ...[17, 20, 21].map((bit) => alone(`32-bit paging: bit ${bit} in a large page`, lines('LOG',
    `mov dword ptr [PD32 + 1024], ${hex(2 ** bit + 0x87)}`, 'PAGING', 'RESUME 1f',
    'mov eax, [WINDOW]\n1:'), 'TCG takes it for an address', 'out0=e00004009 ')),
  experiment('32-bit paging without PSE takes a large page for a table', lines(
    'mov dword ptr [PD32 + 1024], PT32 + 0x87', 'mov eax, 0x80050033\nmov cr0, eax',
    'mov eax, [WINDOW]')),
  experiment('write protection of the kernel without WP', lines('LOG', RET,
    'mov dword ptr [PT32], FRAMES + 5', 'PAGING', 'mov eax, 0x80040033\nmov cr0, eax', touch(),
    'mov ecx, [PT32]')),
  experiment('paging off and on', lines('PAGING', 'mov eax, [WINDOW]', 'mov eax, 0x50033',
    'mov cr0, eax', 'mov ecx, [DATA]', 'mov eax, 0x80050033\nmov cr0, eax', 'mov ecx, [WINDOW]')),
  experiment('a linear address wraps at 4 GiB', lines('mov dword ptr [DATA], 0x12345678',
    describe('FREE', 0x93, 0xc, 0x8000_0000), 'mov eax, FREE\nmov fs, eax',
    'mov ecx, fs:[DATA + 0x80000000]')),
  experiment('long mode is entered and left', lines('mov eax, 0x620\nmov cr4, eax',
    'mov dword ptr [PT32], PDPT + 7', 'or dword ptr [PDPT], 6', 'or dword ptr [PDPT + 8], 6',
    'mov eax, PT32\nmov cr3, eax', 'mov ecx, 0xc0000080\nmov eax, 0x901\nxor edx, edx\nwrmsr',
    'mov eax, 0x80050033\nmov cr0, eax', 'mov esi, [WINDOW]', 'rdmsr\nmov ebx, eax',
    'mov eax, 0x50033\nmov cr0, eax', 'rdmsr')),
]

const small: readonly Experiment[] = [
  ['POP through SP with an upper half', 'mov esp, 0x77771000\npop eax\nmov ecx, esp'],
  ['PUSH wraps at 64 KiB', 'mov esp, 0x77770000\npush eax\nmov ecx, esp'],
  ['PUSHA and POPA', 'mov esp, 0x1000\npusha\npopa'],
  ['ENTER and LEAVE', 'mov esp, 0x55551000\nmov ebp, 0x44442000\nenter 8, 1\nmov ecx, ebp\nleave'],
  ['CALL and RET', 'mov esp, 0x55551000\ncall 1f\njmp 2f\n1: mov ecx, esp\nret 4\n2:'],
  ['INT on it', 'mov esp, 0x55551000\nint OPEN'],
  ['a fault with error code on it', 'mov esp, 0x55551000\nint 13'],
].map(([name, code]) => experiment(`a 16-bit stack: ${name}`, lines(
  describe('FREE', 0x93, 0, 0x21_0000, 0xffff), 'mov eax, FREE\nmov ss, eax', code!)))

const known: readonly Difference[] = [
  [/bit \d+ in an entry/, 'a reserved bit is found in a present entry (AMD APM 2, 8.4.2); TCG says '
    + 'not present', 'out0=e00004009 '],
]

export const protectedMemory = withKnown(
  [...limits, ...permissions, ...tables, ...small], known)
