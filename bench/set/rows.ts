/**
 * The rows of the guest benchmark set: what each runs, how much of it, and the group whose mean it
 * is part of.
 *
 * A row of the program (`guest/`) is done by its C function of the same name, with rounds for a few
 * tenths of a CPU second under QEMU, or about one where it is user code alone: then starting the
 * program, which other rows measure, counts little. A row of the shell is a script of busybox's
 * applets, which finds `words.txt` beside it. Whatever a row prints is its checksum.
 */
export const rowGroups = ['integer', 'memory', 'float', 'system', 'code', 'shell'] as const

export type RowGroup = typeof rowGroups[number]

export interface Row {
  readonly name: string
  readonly group: RowGroup
  readonly what: string
  /** For rows of the program. */
  readonly rounds?: number
  /** For rows of the shell. */
  readonly script?: string
}

const program: Readonly<Record<string, readonly (readonly [string, number, string])[]>> = {
  integer: [
    ['bytecode', 7600, 'bytecode interpreter: switch, branches'],
    ['mix', 64_000, 'integer arithmetic in registers'],
    ['sha', 48_000, 'SHA-256 compression'],
    ['hash', 9200, 'hash table, open addressing'],
    ['calls', 13_600, 'recursive Fibonacci: calls, returns'],
    ['branches', 2880, 'binary search: branches by data'],
    ['indirect', 8000, 'calls through pointers'],
    ['divide', 2640, 'division, products of 128 bits'],
    ['quicksort', 720, 'qsort of the C library'],
    ['crc', 56_000, 'CRC-32 by table'],
    ['queens', 26_800, 'queens: recursion, bits'],
    ['decimal', 40_000, 'decimal digits in bytes'],
    ['format', 22_000, 'numbers to text and back'],
  ],
  memory: [
    ['copy', 164, 'memcpy, memset, memmove, memcmp'],
    ['blocks', 2120, 'REP MOVSB and STOSB'],
    ['scan', 1600, 'REP CMPSB, SCASB, MOVSQ'],
    ['bytes', 14_000, 'strings byte by byte'],
    ['sieve', 8000, 'sieve over 16 KiB'],
    ['chase', 12_000, 'linked list through 512 KiB'],
    ['pages', 2000, 'an access to each of 4096 pages'],
    ['unaligned', 240_000, 'words across lines and pages'],
    ['transpose', 7200, 'matrix by rows and columns'],
    ['atomic', 96_000, 'locked operations'],
    ['allocate', 4400, 'malloc, free, a binary tree'],
  ],
  float: [
    ['bodies', 12_000, 'five bodies in scalar doubles'],
    ['matmul', 160, 'matrices of doubles'],
    ['mandelbrot', 2280, 'Mandelbrot in scalar doubles'],
    ['x87', 480, 'Mandelbrot in long doubles'],
    ['convert', 20_400, 'integers, floats, doubles into another'],
    ['floats', 8000, 'SSE2, four floats'],
    ['doubles', 2680, 'SSE2, two doubles'],
    ['packed', 32_000, 'SSE2, packed bytes'],
    ['floats-avx', 5200, 'AVX, eight floats'],
    ['integers-avx', 12_000, 'AVX2, packed integers'],
  ],
  system: [
    ['getpid', 330_000, 'getpid'],
    ['clock', 2_200_000, 'clock_gettime'],
    ['read', 230_000, 'read of /dev/zero'],
    ['pipe', 1800, 'pipe ping-pong of two processes'],
    ['signals', 19_000, 'signals to itself'],
    ['fork', 160, 'fork, exit, wait'],
    ['exec', 50, 'fork and exec'],
    ['faults', 80, 'faults on fresh pages'],
    ['mmap', 970, 'mmap, mprotect, munmap'],
    ['threads', 7900, 'threads that wait for one another'],
    ['files', 1000, 'files in memory'],
  ],
  code: [
    ['fresh', 100, 'many functions, run twice'],
    ['rewrite', 9200, 'another function in the same place'],
    ['patch', 12_000, 'an immediate patched before each call'],
    ['beside', 160_000, 'data beside code'],
    ['protect', 5100, 'functions under W^X'],
  ],
}

const scripts: Readonly<Record<string, readonly [string, string]>> = {
  loop: ['shell loop',
    'i=0 s=0; while [ $i -lt 15000 ]; do i=$((i + 1)) s=$((s ^ i * 3)); done; echo $s'],
  true: ['a program in a loop',
    't=$(which true) i=0; while [ $i -lt 40 ]; do $t; i=$((i + 1)); done; echo $i'],
  substitute: ['command substitution',
    'x=; for i in $(seq 30); do x=$(echo "$x$i" | cut -c1-60); done; echo "$x"'],
  dd: ['small blocks through a pipe',
    'dd if=/dev/zero bs=512 count=8000 2>/dev/null | wc -c'],
  tree: ['folders and files made and removed',
    'mkdir d; for i in $(seq 400); do echo $i >d/$i; done; cp -r d e; cat e/* | md5sum; rm -r d e'],
  sha256sum: ['sha256sum', 'for i in $(seq 20); do cat words.txt; done | sha256sum'],
  cut: ['cut, tr, uniq, wc',
    "for i in 1 2 3 4; do cut -d' ' -f2,3 words.txt | tr a-m A-M | uniq -c | wc; done"],
  gzip: ['gzip', 'for i in 1 2 3 4 5; do gzip <words.txt; done | md5sum'],
  gunzip: ['gunzip', 'for i in $(seq 12); do gunzip <words.txt.gz; done | md5sum'],
  awk: ['awk, numbers',
    "awk 'BEGIN { for (i = 0; i < 30000; i++) s += i * 1.5 / 7; print s }'"],
  words: ['awk, words counted',
    "awk '{ n[$2]++ } END { for (w in n) print n[w], w }' words.txt | sort | md5sum"],
  sort: ['sort', 'for i in 1 2 3 4 5; do sort words.txt; done | md5sum'],
  grep: ['grep', 'f=words.txt; grep -c "a.*[b-f]o[^a]" $f $f $f $f $f'],
  sed: ['sed', "sed 's/\\([aeiou]\\)\\(.\\)/\\2\\1/g; /7 b/d' words.txt words.txt | md5sum"],
}

export const rows: readonly Row[] = [
  ...Object.entries(program).flatMap(([group, list]) => list.map(([name, rounds, what]) =>
    ({ name, group: group as RowGroup, what, rounds }))),
  ...Object.entries(scripts).map(([name, [what, script]]): Row =>
    ({ name, group: 'shell', what, script })),
]

/** The command of a row, where the program and the scripts are. */
export function commandOf({ name, rounds }: Row): string[] {
  return rounds === undefined ? ['sh', `${name}.sh`] : ['bench', name, String(rounds)]
}
