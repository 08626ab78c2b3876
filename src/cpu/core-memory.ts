/**
 * The map of core memory: what lies where in the private memory of a physical CPU.
 *
 * Only the engine's generated code and the classes of this folder use it. The context is at
 * address 0, so that a register's offset is its address.
 *
 * The data TLBs are sets of two tables, one for loads and one for stores: a set for supervisor
 * accesses, and a set for the user accesses of each of several address spaces, so that permission
 * is part of a hit, and nothing is flushed when the space changes. mmu/spaces.ts explains the sets,
 * mmu/lookup.ts the entries. A supervisor access with EFLAGS.AC set under SMAP to a user page is
 * looked up in the user tables by the slow path.
 */
import { struct, type ViewOf, array } from '../base/layout/struct.ts'
import { i32, u32, u64 } from '../base/layout/scalar.ts'

/** Entries of one table: 128 KiB. docs/decisions/0006-tlb-tables-of-address-spaces.md says what
 * other sizes cost. */
export const TLB_BITS = 14
export const TLB_ENTRIES = 1 << TLB_BITS
export const TABLE_BYTES = TLB_ENTRIES * 8
/** Sets of tables. */
export const TLB_SETS = 12
/** Words of a set's log. */
export const SET_LOG_ENTRIES = 1 << TLB_BITS + 1
export const LOCAL_LOG_ENTRIES = 1 << 14
export const EXEC_TLB_ENTRIES = 1 << 12

/** A set of TLB tables, as it stands at coreMap.tlbSets. */
export const TlbSet = struct('TLB set', {
  /** Whose translations these are: see mmu/spaces.ts. 0: nobody's. */
  key: u32,
  /** When it was last selected. */
  stamp: u32,
  /** Words in the log. */
  logged: u32,
  /** Addresses of the tables and of the log. */
  tables: u32,
  log: u32,
  pad: u32,
  /** Entries of the instruction TLB and of the walk cache that bear these numbers are valid. */
  generation: u64,
  walkGeneration: u64,
})

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
  /** Addresses of the TLB sets in use. */
  userSet: u32,
  supervisorSet: u32,
  /** TLB tables that serve the current privilege level: that of loads, and behind it of stores. */
  tables: u32,
  /** Whose address spaces are in use; see Cpu.loadContext. */
  owner: u32,
  /** Counts selections of TLB sets. */
  clock: u32,
  /** Words in the log of supervisor pages that are not global. */
  localCount: u32,
  /** 1 once a user page was global. */
  userGlobals: u32,
  /** TlbSet.generation of the sets in use. */
  userGeneration: u64,
  supervisorGeneration: u64,
  /** Whose entries of the instruction TLB count, those of most code first; see
   * mmu/exec-tlb.ts. */
  codeSpace: u64,
  otherCodeSpace: u64,
  /** The last number given to a set. */
  generation: u64,
  /** 1 while the caller waits for the moment at which an interrupt can be taken. */
  windowWanted: u32,
  /** How much of the budget a region leaves untouched: see Cpu.run. */
  regionReserve: u32,
  /** What of the budget the running region has not been given yet, with the reserve. */
  withheld: u32,
  /** 1 while each round of a repeated string instruction counts. */
  roundByRound: u32,
  /** What of the instructions is looked at, as bits of debug.ts's Watching. */
  watching: u32,
  /** Bits of DR6 for the breakpoints that the current instruction has touched. */
  debugHits: u32,
  /** Whether the current instruction ends in a trap whatever TF was: debug.ts's TrapOverride. */
  trapOverride: u32,
  /** 1 once the current instruction has switched tasks: a fault is then the new task's. */
  taskSwitched: u32,
  /** Draws lots among indirect jumps; see interpreter/last-targets.ts. */
  jumpLot: u32,
  /** PAUSEs that are not left for before one is. */
  pausesLeft: u32,
  /** 1 while an EOI of the x2APIC is only noted, by making this 0; see interrupts-ahead.ts. */
  quietEoi: u32,
  /** 1 while other processors reach memory too: a locked instruction whose accesses are not one for
   * WebAssembly then stops with Stop.BUS_LOCK. */
  busShared: u32,
  /** Machine address of the core's doorbell: a word that is not zero while it should look up. */
  doorbell: u32,
  /** Number of the processor among those of its machine; see mmu/frame-uses.ts. */
  processor: u32,
  /** What the host's time stamp counter was when it was last asked, what of the budget is left when
   * that is too old, and the latest that a guest was told: see interpreter/time-stamp.ts. */
  tscAsked: u64,
  tscUntil: i32,
  tscTold: u64,
})

/** CoreControl.codeMode: which code, and whether one instruction at a time. Never 0, so that an
 * empty entry of the code hash fits no mode. */
export const CODE_MODE_LONG = 1
export const CODE_MODE_32 = 2
export const CODE_MODE_16 = 3
/** Added when SS.B is set outside 64-bit code. */
export const CODE_MODE_STACK32 = 4
export const CODE_MODE_STEP = 8
/** Added outside 64-bit code when ES, CS, SS and DS are all of the first 4 GiB, from 0. */
export const CODE_MODE_FLAT = 16
/** 32-bit code as systems use it: with the former, compiled like 64-bit code. */
export const CODE_MODE_FLAT32 = CODE_MODE_32 | CODE_MODE_STACK32 | CODE_MODE_FLAT
export const CODE_MODE_MASK = 31

export type CoreControlView = ViewOf<typeof CoreControl>

const MIB = 1 << 20

/** Byte addresses in core memory. */
export const coreMap = {
  context: 0,
  control: 0x1000,
  /** Scratch for vectors and services. */
  scratch: 0x2000,
  /** What an x87 store waits with: status word and tags (u16 each), the upper 16 bits of its result
   * (u32), 1 when it is to be stored (u32). */
  x87Result: 0x2100,
  /** 1 once a part has noted a denormal (u32); see fpu/denormals.ts. */
  denormals: 0x2200,
  /** What flags that a region has not computed are computed from where paths meet: the number of
   * their epoch (u32), and in 16 bytes each, values; see jit/epochs.ts. */
  waiting: 0x2300,
  /** Eight tables of 256 words; see interpreter/pure-integers.ts. */
  crc32Tables: 0x4000,
  /** TLB_SETS of TlbSet. */
  tlbSets: 0x8000,
  /** Estimates that were asked for, in tables of 16-bit words; see interpreter/estimates.ts. */
  estimates: 0x9000,
  /** Where large pages were filled from; see mmu/large-pages.ts. */
  largePages: 0x10000,
  /** Indexes of entries of the supervisor's tables that were filled with pages that are not global,
   * as words. */
  localLog: 0x20000,
  /** See mmu/exec-tlb.ts and mmu/walk-cache.ts. */
  execTlb: 0x30000,
  walkCache: 0x50000,
  /** One bit a machine frame: set while some line of it holds code. */
  codeBitmap: 0x60000,
  /** One bit a machine frame: set when some entry for stores leads there. */
  storeBitmap: 0x80000,
  /** Where indirect jumps went; see interpreter/jump-targets.ts. */
  jumpTargets: 0xa0000,
  /** Where compiled regions are entered; see interpreter/region-links.ts. */
  regionLinks: 0xc0000,
  /** Machine address of code to decoded record, see code-cache. */
  codeHash: 1 * MIB,
  /** The tables of each TLB set, and its log: indexes of filled entries as words, with TLB_ENTRIES
   * added in the table for stores. Every entry that is not empty stands there at least once. */
  tlbTables: 2 * MIB,
  tlbLogs: 10 * MIB,
  records: 16 * MIB,
  /** For each machine frame, as 64 bits, which lines hold code; see interpreter/code-lines.ts. */
  codeLines: 80 * MIB,
  /** For each machine frame, in two words, where entries for stores are that lead there; see
   * mmu/store-entries.ts. */
  storeEntries: 88 * MIB,
  end: 96 * MIB,
} as const

/** Entries of the code hash: machine address of an instruction, then its record and mode. */
export const CODE_HASH_BITS = 17

/** Edges of coreMap.jumpTargets. */
export const JUMP_TARGET_BITS = 13

/** Places of coreMap.regionLinks. */
export const REGION_LINK_BITS = 13

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
  /** Compiled code has met what an instruction leaves to its service: nothing of it happened. */
  DEFER: 8,
  /** A locked instruction must be carried out while no other processor runs: nothing of it
   * happened. */
  BUS_LOCK: 9,
} as const
