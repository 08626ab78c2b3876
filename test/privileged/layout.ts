/**
 * Where the bare programs keep what, and what a record of theirs looks like.
 *
 * The assembler gets these numbers as symbols, so that the runtimes, the experiments and the reader
 * of the records share one list.
 */

/** Physical addresses. Everything below 16 MiB is mapped to itself, for the supervisor. */
export const places = {
  GDT: 0x20_0000,
  IDT: 0x20_1000,
  TSS: 0x20_2000,
  /** The second task's. */
  TSS2: 0x20_3000,
  LDT: 0x20_4000,
  /** Eight words that records show: where experiments leave what they found. */
  OUT: 0x20_5000,
  /** A page for whatever an experiment stores. */
  DATA: 0x20_6000,
  /** State that outlives a reset of the machine. */
  STATE: 0x70_0000,
  /** The monitor's own stack and the record. */
  MONITOR_STACK: 0x68_0000,
  RECORD: 0x69_0000,
  /** Tops of stacks, a page each: level 0 from outside, the experiment's, IST 1 and 2, user. */
  RSP0: 0x21_1fc0,
  STACK: 0x21_3fc0,
  IST1: 0x21_5fc0,
  IST2: 0x21_7fc0,
  USER_STACK: 0x21_9fc0,
  RSP1: 0x21_bfc0,
  TABLES: 0x23_0000,
  PML4: 0x23_0000,
  /** What CR3 names without PAE, and the table of the window there. */
  PD32: 0x23_0000,
  PT32: 0x23_3000,
  PDPT: 0x23_1000,
  PD: 0x23_2000,
  PT: 0x23_3000,
  /** Directory and table of the window. */
  WINDOW_PD: 0x23_5000,
  WINDOW_PT: 0x23_6000,
  TABLES_END: 0x23_7000,
  TABLES_COPY: 0x50_0000,
  /** Frames behind the window's first pages. */
  FRAMES: 0x30_0000,
  FRAMES_END: 0x30_8000,
  /** Linear address of the window: pages that experiments map as they like. */
  WINDOW: 0x4000_0000,
  /** The first 8 MiB once more, for the user. */
  ALIAS: 0x2000_0000,
  /** Code of 16 bits, and the segment it runs in. */
  LOW: 0x2_0000,
  LOW_SEGMENT: 0x2000,
  LAPIC: 0xfee0_0000,
  /** Where it is mapped. */
  APIC: 0x3000_0000,
} as const

export const MEMORY_BYTES = 64 << 20
/** Ports: bytes of records; the end. */
export const ports = { RECORDS: 0xe9, END: 0xf4 } as const
export const MAGIC = 0x584e_4f52

/** Selectors. User ones carry their RPL. */
export const selectors = {
  CODE: 0x08, DATA_SEG: 0x10, CODE32: 0x18, CODE16: 0x20, USER32: 0x2b, USER_DATA: 0x33,
  USER64: 0x3b, TSS_SEL: 0x40, USER16: 0x53, DATA16: 0x58, LDT_SEL: 0x60, TSS2_SEL: 0x70,
  /** The first slot free for experiments, sixteen bytes apart. */
  FREE: 0x80, FREE2: 0x90, FREE3: 0xa0, LIMITS: 0x3ff,
} as const

const DONE = 0x7f
/** Vectors of gates that user code may use. */
export const OPEN_TRAP = 0x7e
export const OPEN = 0x7d

/** A record: 64-bit words. */
export const RECORD_WORDS = 48
export const word = {
  index: 0, vector: 1, pointer: 2, frame: 3, gpr: 11, cr0: 27, cr2: 28, cr3: 29, cr4: 30, efer: 31,
  dr6: 32, dr7: 33, selectors: 34, moreSelectors: 35, fsBase: 36, gsBase: 37, kernelGsBase: 38,
  flags: 39, out: 40,
} as const
export const FRAME_WORDS = 8
export const OUT_WORDS = 8
/** In the vector's word: the machine was reset in the midst of the experiment. */
export const SHUTDOWN = 0xfff

/** The lists above as assembler symbols. */
export function symbols(): string {
  const records = Object.entries(word).map(([name, index]) => [`R_${name}`, index * 8] as const)
  return [
    ...Object.entries(places), ...Object.entries(selectors), ...records,
    ['PORT_RECORDS', ports.RECORDS] as const, ['PORT_END', ports.END] as const,
    ['MAGIC', MAGIC] as const, ['RECORD_BYTES', RECORD_WORDS * 8] as const,
    ['DONE_VECTOR', DONE] as const, ['OPEN_TRAP', OPEN_TRAP] as const, ['OPEN', OPEN] as const,
    ['SHUTDOWN', SHUTDOWN] as const,
  ].map(([name, value]) => `.set ${name}, 0x${value.toString(16)}\n`).join('')
}
