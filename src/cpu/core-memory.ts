/**
 * The map of core memory: what lies where in the private memory of a physical CPU.
 *
 * Only the engine's generated code and the classes of this folder use it. The context is at
 * address 0, so that a register's offset is its address.
 *
 * The data TLBs hold one 64-bit entry a page, indexed by bits 12 to 31 of the linear address:
 * `entry = page of linear address XOR page of machine address`, so that `address XOR entry` is a
 * machine address when its upper half is zero, and a miss when it is not. An empty entry is
 * `emptyEntry(index)`: its upper half is a random non-canonical pattern drawn at start, and a guest
 * that guesses it reads frame 0, which no domain owns. A read table and a write table each for user
 * and supervisor accesses make permission part of the hit. A supervisor access with EFLAGS.AC set
 * under SMAP to a user page is looked up in the user tables by the slow path.
 */
import { struct, type ViewOf, array } from '../base/layout/struct.ts'
import { i32, u16, u32, u64 } from '../base/layout/scalar.ts'

export const TLB_BITS = 20
export const TLB_ENTRIES = 1 << TLB_BITS

/** The most accesses that one instruction makes: XRSTOR of all states in pieces, and crossing
 * pages byte by byte, stay below. */
export const MMIO_ANSWERS = 256

/** What stopped generated code, and what it wants; also what the run loop is told. */
export const CoreControl = struct('core control', {
  /** Why `run` returned: one of Stop. */
  stop: u32,
  /** Exception pending: vector, or -1. */
  faultVector: i32,
  faultErrorCode: u32,
  /** 1 when the exception pushes its error code. */
  faultHasErrorCode: u32,
  /** Linear address of a page fault, for CR2. */
  faultAddress: u64,
  /** Record of the instruction being executed when the loop left. */
  record: u32,
  /** Instructions left of the budget given to `run`. */
  budget: i32,
  /** Linear address of the page that the current record's code lies in. */
  codePage: u64,
  /** The same while `codeMachinePage` is its translation, else an odd number. */
  codePageTag: u64,
  codeMachinePage: u32,
  /** What decoded code depends on, in the low bits of code hash entries: CODE_MODE_* below. */
  codeMode: u32,
  /** Base of the code segment; 0 in 64-bit code. */
  codeBase: u64,
  /** How often the code cache was emptied: records found before the last time are gone. */
  codeGeneration: u32,
  pad1: u32,
  /** An access to MMIO, a port, or an MSR. */
  accessAddress: u64,
  accessSize: u32,
  accessValue: u64,
  /** Accesses to MMIO of this instruction that are already answered, and the answers: an
   * instruction that touches MMIO is executed again after each answer. */
  replayCount: u32,
  replayIndex: u32,
  replayValues: array(u64, MMIO_ANSWERS),
  /** Machine address of the p2m directory of the domain that runs. */
  p2m: u32,
  /** Pattern in the upper half of empty TLB entries. */
  emptyTag: u32,
  /** 1 while the supervisor may not touch user pages: CR4.SMAP and not EFLAGS.AC. */
  smapActive: u32,
  /** Entries in the fill logs of the TLBs. */
  fillCount: u32,
  execFillCount: u32,
  /** How many instructions retired since the core started. */
  retired: u64,
  /** What of the instructions is looked at, as bits of debug.ts's Watching. */
  watching: u32,
  /** Bits of DR6 for the breakpoints that the current instruction has touched. */
  debugHits: u32,
  /** Whether the current instruction ends in a trap whatever TF was: debug.ts's TrapOverride. */
  trapOverride: u32,
  /** 1 once the current instruction has switched tasks: a fault is then the new task's. */
  taskSwitched: u32,
  pad: u16,
})

/** CoreControl.codeMode: which code, and whether one instruction at a time. Never 0, so that an
 * empty entry of the code hash fits no mode. */
export const CODE_MODE_LONG = 1
export const CODE_MODE_32 = 2
export const CODE_MODE_16 = 3
/** Added when SS.B is set outside 64-bit code. */
export const CODE_MODE_STACK32 = 4
export const CODE_MODE_STEP = 8
export const CODE_MODE_MASK = 31

export type CoreControlView = ViewOf<typeof CoreControl>

const MIB = 1 << 20

/** Byte addresses in core memory. */
export const coreMap = {
  context: 0,
  control: 0x1000,
  /** Scratch for vectors and services. */
  scratch: 0x2000,
  /** Instruction TLB: EXEC_TLB_ENTRIES of 16 bytes: linear page with bit 0 set for CPL 3 (u64),
   * machine page (u32), 1 if global (u32). An empty entry is all ones. */
  execTlb: 0x10000,
  /** Indexes of filled instruction TLB entries, as words. */
  execLog: 0x50000,
  /** Where large pages were filled from; see mmu/large-pages.ts. */
  largePages: 0x5c000,
  /** One bit a machine frame: set while records decoded from it exist. */
  codeBitmap: 0x60000,
  /** Indexes of filled data TLB entries, as words: table number in bits 20-21, index below, bit 22
   * set for a global page. Every entry that is not empty stands here at least once. */
  fillLog: 0x80000,
  /** Machine address of code to decoded record, see code-cache. */
  codeHash: 1 * MIB,
  readSupervisor: 16 * MIB,
  writeSupervisor: 24 * MIB,
  readUser: 32 * MIB,
  writeUser: 40 * MIB,
  records: 48 * MIB,
  /** How often each record was jumped to, up to a limit: a 16-bit number each. */
  heat: 112 * MIB,
  end: 116 * MIB,
} as const

/** Entries of the code hash: machine address of a trace, then its record and mode. */
export const CODE_HASH_BITS = 17

export const FILL_LOG_ENTRIES = 0x20000
export const EXEC_TLB_ENTRIES = 0x4000
export const EXEC_LOG_ENTRIES = 0x3000

/** Values of CoreControl.stop. */
export const Stop = {
  BUDGET: 0,
  /** An exception is in faultVector; rip and registers are those before the instruction. */
  FAULT: 1,
  /** A single step ended. */
  STEP: 2,
  MMIO_READ: 3,
  MMIO_WRITE: 4,
  /** A service asked for an exit that the Cpu class knows (port, MSR, CPUID, halt, ...). */
  SERVICE: 5,
  /** The doorbell rang, or an interrupt window opened. */
  POLL: 6,
  /** Compiled code is about to change decoded code: nothing was stored; the instruction must be
   * carried out by the interpreter. */
  RETRY: 7,
} as const
