/**
 * Guests with several VCPUs in which Debian's stress-ng checks what processor and kernel do
 * (`--verify`): for a short test, and for a long one by hand (soak.ts).
 */
import { readFileSync } from 'node:fs'
import type { DebianPrograms } from '../guests/debian-programs.ts'
import { stressNg } from '../guests/stress-ng.ts'
import { type Debian, debian, Shell } from './debian.ts'
import type { TestHost } from './test-host.ts'

/** Stressors that run at once in the short test. */
export const coreStressors = words('cpu vm futex fork schedpolicy atomic')

/** Stressors of processor, memory, scheduler, signals and other paths through the kernel that need
 * neither disk nor network, and no more memory than a small guest has. */
export const allStressors = [...coreStressors, ...words(`
  affinity branch brk bsearch cacheline context dekker enosys epoll eventfd
  exit-group far-branch fault forkheavy fp fp-error funccall funcret get hash heapsort
  hrtimers itimer judy kill list lockbus longjmp madvise malloc matrix mcontend membarrier memcpy
  memfd memrate memthrash mergesort mincore misaligned mlock mmap mmapfixed mmapfork mprotect mq
  mremap msg msync munmap mutex nanosleep nop opcode pagemove peterson personality pipe
  pipeherd poll prctl prefetch priv-instr pthread ptrace qsort race-sched radixsort randlist rdrand
  regs remap resched ring-pipe rmap rseq seccomp sem sem-sysv session shellsort shm shm-sysv sigabrt
  sigchld sigfd sigfpe signal signest sigpending sigpipe sigq sigrt sigsegv sigsuspend sigtrap
  skiplist sleep sock sockpair spawn splice stack stackmmap str stream switch sysbadaddr syscall
  sysinval tee timer timerfd tlb-shootdown tree tsc tsearch userfaultfd usersyscall vdso vecfp
  vecmath vecshuf vecwide vfork vforkmany vm-addr vm-rw vm-segv vm-splice wait waitcpu x86cpuid
  x86syscall yield zlib zombie`)]

const MEMORY_MB = 320
/** Some stressors take several times the processor's cache, or hundreds of MiB, unless told. */
const SMALL = '--vm-bytes 16M --memfd-bytes 16M --stream-l3-size 1M --memrate-bytes 16M'
/** Exit statuses: well; and, which is not wrong, no resources for a stressor, or no such thing. */
const FINE = [0, 3, 4]
/** So much longer than asked for may it take: some stressors end only between long rounds. One of
 * far-branch calls a million and a half functions, which takes minutes on a busy machine. */
const PATIENCE_SECONDS = 900

export interface StressedGuest {
  readonly name: string
  readonly shell: Shell
}

function words(text: string): string[] {
  return text.trim().split(/\s+/)
}

/** What such guests are made of. */
export async function stressFiles(): Promise<Debian & DebianPrograms> {
  const { archive, missing } = stressNg()
  const kernel = await debian('cloud')
  return { archive, settings: kernel.settings, missing: kernel.missing || missing }
}

export async function startStressed(
  host: TestHost, { settings, archive }: Debian & DebianPrograms, vcpus: number,
): Promise<StressedGuest> {
  const name = `vcpus-${vcpus}`
  const initrd = readFileSync(String(settings['ramdisk']))
  const ramdisk = host.file(`initrd-${name}`, Buffer.concat([initrd, archive]))
  const config = host.config(name, { ...settings, ramdisk, memory: MEMORY_MB, vcpus })
  const shell = await Shell.take(host.start('create', '-c', config))
  await shell.output('ip link set lo up')
  return { name, shell }
}

/** Runs stressors at once for so many seconds, each with so many workers: what went wrong, as
 * lines. */
export async function stress(
  { name, shell }: StressedGuest, stressors: readonly string[], workers: number, seconds: number,
): Promise<string[]> {
  const each = stressors.map((stressor) => `--${stressor} ${workers}`).join(' ')
  const command = `stress-ng --verify --timeout ${seconds} ${SMALL} ${each}`
  const { status, output } = await shell.run(`${command} 2>&1`, seconds + PATIENCE_SECONDS)
  const lines = output.split('\n')
  const failures = FINE.includes(status) ? lines.filter((line) => line.includes(': fail: '))
    : [`status ${status}`, ...lines.slice(-9)]
  const kernel = (await shell.run('dmesg -c')).output.split('\n').filter((line) =>
    /Oops|BUG:|WARNING:|detected stall|lockup|[Uu]nstable|general protection/.test(line))
  return [...failures, ...kernel].map((line) => `${name}: ${stressors.join(' ')}: ${line}`)
}
