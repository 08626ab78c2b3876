/**
 * The kernels by their numbers in guest/kernels.c, each with rounds for about 150 million
 * instructions.
 */
export interface Kernel {
  readonly name: string
  readonly what: string
  readonly rounds: number
}

export const kernels: readonly Kernel[] = [
  { name: 'bytecode', what: 'bytecode interpreter: switch, branches', rounds: 960 },
  { name: 'mix', what: 'integer arithmetic in registers', rounds: 1340 },
  { name: 'sha', what: 'SHA-256 compression', rounds: 2400 },
  { name: 'sieve', what: 'sieve over 16 KiB of bytes', rounds: 640 },
  { name: 'chase', what: 'linked list through 512 KiB', rounds: 3600 },
  { name: 'hash', what: 'hash table, open addressing', rounds: 700 },
  { name: 'calls', what: 'recursive Fibonacci: calls, returns', rounds: 1700 },
  { name: 'bytes', what: 'string copy and compare by bytes', rounds: 760 },
  { name: 'blocks', what: 'REP MOVSB and STOSB, 64 B to 64 KiB', rounds: 1000 },
  { name: 'bodies', what: 'five bodies in scalar double', rounds: 6300 },
  { name: 'packed', what: 'SSE2 packed bytes', rounds: 8000 },
]

/** By whose instructions a rate would say nothing: what they do is counted in bytes. */
export const withoutRate: ReadonlySet<string> = new Set(['blocks'])
