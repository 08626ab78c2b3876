/**
 * Repeated string instructions in 64-bit code, long enough for blocks (interpreter/blocks.ts):
 * pages, faults between them, overlaps, directions, element sizes, single steps, stores to code.
 */
import { experiment, type Experiment, hex, lines } from '../experiment.ts'

const PAGES = 4
const BYTES = PAGES * 0x1000
const FRAMES = 0x30_0000n

/** The window's pages, present and writable for all but where said, and with a pattern in them. */
function prepare(...entries: string[]): string {
  const pages = Array.from({ length: PAGES }, (_, page) => map(page, FRAMES, 7n))
  return lines(...pages, 'mov rax, cr3', 'mov cr3, rax', 'mov edi, WINDOW', 'mov eax, 1',
    'mov rdx, 6364136223846793005', '1: imul rax, rdx', 'add rax, 99', 'mov [rdi], rax',
    'add edi, 8', `cmp edi, WINDOW + ${hex(BYTES)}`, 'jb 1b', ...entries,
    'mov rax, cr3', 'mov cr3, rax')
}

function map(page: number, frames: bigint, flags: bigint): string {
  const value = frames + BigInt(page) * 0x1000n | flags
  return lines(`mov dword ptr [WINDOW_PT + ${page * 8}], ${hex(value)}`,
    `mov dword ptr [WINDOW_PT + ${page * 8 + 4}], 0`)
}

/** The registers as the instruction left them, and a sum over the frames. */
const SHOW = lines('mov r8, rsi', 'mov r9, rdi', 'mov r10, rcx', 'mov esi, FRAMES', 'xor eax, eax',
  '1: rol rax, 5', 'add rax, [rsi]', 'add esi, 8', `cmp esi, FRAMES + ${hex(BYTES)}`, 'jb 1b',
  'mov r11, [WINDOW_PT]', 'mov r12, [WINDOW_PT + 8]', 'mov r13, [WINDOW_PT + 16]')

function repeated(
  name: string, code: string, from: number, to: number, count: number, ...before: string[]
): Experiment {
  return experiment(`strings: ${name}`, lines(prepare(...before),
    `mov esi, WINDOW + ${hex(from)}`, `mov edi, WINDOW + ${hex(to)}`, `mov ecx, ${count}`,
    'mov rax, 0x0102030405060708', 'RESUME 2f', `rep ${code}`, '2:', SHOW))
}

const codes = ['movsb', 'movsw', 'movsd', 'movsq', 'stosb', 'stosw', 'stosd', 'stosq'] as const
const sizeOf = (code: string): number => 1 << 'bwdq'.indexOf(code.at(-1)!)

const sizes: readonly Experiment[] = codes.flatMap((code) => {
  const size = sizeOf(code)
  return [
    repeated(`${code}, aligned pages`, code, 0, 0x2000, 0x1800 / size),
    repeated(`${code}, elements that cross pages`, code, 0x803, 0x2ffd, 0x1000 / size),
    repeated(`${code}, a target that is not there`, code, 0x10, 0x1ff8, 0x900 / size,
      map(2, FRAMES, 0n)),
    repeated(`${code}, a target that cannot be written`, code, 0x10, 0x1ff3, 0x900 / size,
      map(2, FRAMES, 1n)),
    repeated(`${code}, a source that is not there`, code, 0xff0, 0x2108, 0x900 / size,
      map(1, FRAMES, 0n)),
    repeated(`${code}, accessed and dirty bits`, code, 0x8, 0x1008, 0xff0 / size,
      map(0, FRAMES, 3n), map(1, FRAMES, 3n), map(2, FRAMES, 3n)),
    repeated(`${code}, a frame mapped twice`, code, 0x20, 0x1040, 0x400 / size,
      map(1, FRAMES - 0x1000n, 7n)),
  ]
})

const distances = [-129, -64, -8, -5, -1, 0, 1, 2, 3, 4, 7, 8, 9, 16, 63, 64, 100, 257]
const overlaps: readonly Experiment[] = ['movsb', 'movsw', 'movsd', 'movsq'].flatMap((code) =>
  distances.map((distance) => repeated(`${code}, ${distance} bytes above`, code, 0x400,
    0x400 + distance, 0x300 / sizeOf(code))))

const ways: readonly Experiment[] = [
  experiment('strings: MOVSQ downwards', lines(prepare(), 'std', `mov esi, WINDOW + 0x1ff8`,
    'mov edi, WINDOW + 0x2ff8', 'mov ecx, 0x300', 'rep movsq', 'cld', SHOW)),
  experiment('strings: STOSB with a 32-bit address', lines(prepare(), 'mov edi, WINDOW + 5',
    'mov rcx, 0x700000123', 'mov al, 7', 'addr32 rep stosb', SHOW)),
  experiment('strings: MOVSB through FS', lines(prepare(), 'mov ecx, 0xc0000100',
    'mov eax, 0x800', 'xor edx, edx', 'wrmsr', 'mov esi, WINDOW', 'mov edi, WINDOW + 0x2000',
    'mov ecx, 0x923', 'rep movsb byte ptr es:[rdi], byte ptr fs:[rsi]', SHOW)),
  experiment('strings: STOSQ beyond the canonical addresses', lines(prepare(),
    'mov rdi, 0x7ffffffff000', 'mov ecx, 0x400', 'RESUME 2f', 'rep stosq', '2:', SHOW)),
  experiment('strings: TF stops after each round', lines(prepare(), 'mov esi, WINDOW',
    'mov edi, WINDOW + 0x1000', 'mov ecx, 100', 'pushfq', 'or dword ptr [rsp], 0x100', 'popfq',
    'rep movsb')),
  experiment('strings: MOVSB over the code behind it', lines(prepare(),
    'mov word ptr [WINDOW], 0x37b0',
    'lea rdi, [rip + 2f]', 'mov esi, WINDOW', 'mov ecx, 2', 'mov al, 1', 'jmp 1f', '1:',
    'rep movsb', '2: mov al, 2', SHOW)),
]

export const longStrings: readonly Experiment[] = [...sizes, ...overlaps, ...ways]
