/**
 * Which traces there are, by frame and line, and where in them an instruction's record is.
 *
 * A trace's records stand for instructions at ascending offsets of its page; a trace that crosses
 * into the next page belongs to both frames, and is entered at its first record only. A trace is
 * listed in each line that it has code in: who looks for an instruction, or forgets a line, looks
 * at no others.
 */
import { MAX_LENGTH } from '../../isa/decode/decoder.ts'
import { CodeLines } from './code-lines.ts'
import { field, RECORD_BYTES, Special } from './record.ts'

const PAGE = 4096
const PAGE_SHIFT = 12
const LINE_SHIFT = 6
const LINES = PAGE >>> LINE_SHIFT
/** A line's traces are searched one by one. Code that has more of them is made for that: when there
 * are as many, all go. */
const TRACES_A_LINE = 64

const NONE: readonly Trace[] = []

/** The traces of a frame by line; lines that never had any have no list. */
interface Frame {
  readonly lists: (Trace[] | undefined)[]
  /** The lines whose list is not empty. */
  readonly used: CodeLines
}

export interface Trace {
  readonly machine: number
  readonly mode: number
  readonly first: number
  readonly records: number
  /** It begins with a check of the following page: no entry but its first record. */
  readonly crosses: boolean
  /** Offset in its page behind its last instruction. */
  readonly end: number
}

/** Whether an instruction at a machine address of the trace's page may be the trace's. */
function isWithin(trace: Trace, machine: number): boolean {
  return trace.machine <= machine && (machine & PAGE - 1) < trace.end
}

/** Sets `lines` to those of a page that a trace has code in, which may begin in the page before. */
export function linesOf(trace: Trace, page: number, lines: CodeLines): void {
  lines.low = 0
  lines.high = 0
  const from = firstIn(trace, page)
  lines.addRange(from, endIn(trace, page) - from)
}

function firstIn(trace: Trace, page: number): number {
  return (trace.machine & -PAGE) >>> 0 === page ? trace.machine & PAGE - 1 : 0
}

function endIn(trace: Trace, page: number): number {
  return (trace.machine & -PAGE) >>> 0 === page ? trace.end : MAX_LENGTH
}

export class Traces {
  readonly #u16: Uint16Array
  /** By frame number. A frame stays when its code is gone: a map whose keys come and go walks
   * over those that went. */
  readonly #frames = new Map<number, Frame>()

  constructor(core: ArrayBuffer) {
    this.#u16 = new Uint16Array(core)
  }

  /** Frames that have, or had, code; of those that only are watched, too. */
  frames(): Iterable<number> {
    return this.#frames.keys()
  }

  /** Whether the frame that an address lies in is one of them. */
  knows(machine: number): boolean {
    return this.#frames.has(machine >>> PAGE_SHIFT)
  }

  /** Makes the frame of an address one of them. */
  watch(machine: number): Frame {
    const frame = machine >>> PAGE_SHIFT
    let known = this.#frames.get(frame)
    if (!known) {
      known = { lists: new Array<Trace[] | undefined>(LINES), used: new CodeLines() }
      this.#frames.set(frame, known)
    }
    return known
  }

  /** Adds a trace to the frame `page`, and gives those that are to be forgotten for it. */
  add(page: number, trace: Trace): readonly Trace[] {
    const frame = this.watch(page)
    const gone: Trace[] = []
    forEachLine(trace, page, (line) => {
      const list = frame.lists[line] ??= []
      if (list.length >= TRACES_A_LINE) this.#takeLine(frame, line, page, gone)
      list.push(trace)
      frame.used.addLine(line)
    })
    return gone
  }

  /** Takes the trace that begins with a record out of the frame `page`, if it is there. */
  takeFirst(page: number, record: number): Trace | undefined {
    const frame = this.#frames.get(page >>> PAGE_SHIFT)
    const line = this.#u16[record + field.pageOffset >>> 1]! >>> LINE_SHIFT
    const trace = frame?.lists[line]?.find(({ first }) => first === record)
    if (frame && trace) takeOut(frame, trace, page)
    return trace
  }

  /** Takes out of the frame `page` all traces that have code in some lines. */
  take(page: number, lines: CodeLines): readonly Trace[] {
    const frame = this.#frames.get(page >>> PAGE_SHIFT)
    const gone: Trace[] = []
    if (!frame) return gone
    for (let line = frame.used.nextIn(lines, 0); line < LINES;
      line = frame.used.nextIn(lines, line + 1)) this.#takeLine(frame, line, page, gone)
    return gone
  }

  #takeLine(frame: Frame, line: number, page: number, gone: Trace[]): void {
    const list = frame.lists[line]
    for (let trace = list?.at(-1); trace; trace = list?.at(-1)) {
      takeOut(frame, trace, page)
      gone.push(trace)
    }
  }

  /** The lines of the frame `page` that have traces. */
  linesIn(page: number): CodeLines {
    const lines = new CodeLines()
    const frame = this.#frames.get(page >>> PAGE_SHIFT)
    if (frame) lines.add(frame.used)
    return lines
  }

  clear(): void {
    this.#frames.clear()
  }

  /** The traces that have code in the line of an address. */
  #near(machine: number): readonly Trace[] {
    return this.#frames.get(machine >>> PAGE_SHIFT)?.lists[(machine & PAGE - 1) >>> LINE_SHIFT]
      ?? NONE
  }

  /** The record of the instruction at an address that may be entered, or 0. */
  recordAt(machine: number, mode: number): number {
    for (const trace of this.#near(machine)) {
      if (trace.mode !== mode || !isWithin(trace, machine)) continue
      const record = this.#recordIn(trace, machine)
      if (record !== 0 && this.#isEntry(record)) return record
    }
    return 0
  }

  /** The first offset of the address's page, from the address on, at which recordAt may find
   * something; the page's size when there is none. */
  nextAt(machine: number, mode: number): number {
    const frame = this.#frames.get(machine >>> PAGE_SHIFT)
    if (!frame) return PAGE
    const { lists, used } = frame
    let next = PAGE
    for (let line = used.nextIn(used, (machine & PAGE - 1) >>> LINE_SHIFT);
      line < LINES && next === PAGE; line = used.nextIn(used, line + 1)) {
      for (const trace of lists[line] ?? NONE) {
        if (trace.mode !== mode) continue
        if (!trace.crosses && isWithin(trace, machine)) return machine & PAGE - 1
        if (trace.machine >= machine) next = Math.min(next, trace.machine & PAGE - 1)
      }
    }
    return next
  }

  /** The records of the instruction at `machine`, in all traces for `mode` that have it. */
  recordsAt(machine: number, mode: number): number[] {
    const found: number[] = []
    for (const trace of this.#near(machine)) {
      if (trace.mode !== mode || !isWithin(trace, machine)) continue
      const record = this.#recordIn(trace, machine)
      if (record !== 0) found.push(record)
    }
    return found
  }

  /** How often the instruction at `machine` was jumped to; -1 when no trace for `mode` has it. */
  heatAt(machine: number, mode: number): number {
    return this.recordsAt(machine, mode)
      .reduce((heat, record) => Math.max(heat, this.#u16[record + field.heat >>> 1]!), -1)
  }

  /** A record that only looks up its own address would lead back to itself, and so would one that
   * joins a trace which is forgotten. */
  #isEntry(record: number): boolean {
    const handler = this.#u16[record + field.handler >>> 1]!
    return handler !== Special.LOOK_UP && handler !== Special.STEP_END
      && handler !== Special.JOIN
  }

  /** The record of a trace's instruction at an address, or 0; offsets ascend in a trace. */
  #recordIn(trace: Trace, machine: number): number {
    if (trace.crosses) return trace.machine === machine ? trace.first : 0
    const offset = machine & PAGE - 1
    let low = 0
    let high = trace.records - 1
    while (low <= high) {
      const middle = low + high >> 1
      const record = trace.first + middle * RECORD_BYTES
      const found = this.#u16[record + field.pageOffset >>> 1]!
      if (found === offset) return record
      if (found < offset) low = middle + 1
      else high = middle - 1
    }
    return 0
  }
}

/** Calls `work` with each line of a page that a trace has code in. */
function forEachLine(trace: Trace, page: number, work: (line: number) => void): void {
  const last = Math.min(endIn(trace, page), PAGE) - 1 >>> LINE_SHIFT
  for (let line = firstIn(trace, page) >>> LINE_SHIFT; line <= last; line++) work(line)
}

function takeOut(frame: Frame, trace: Trace, page: number): void {
  forEachLine(trace, page, (line) => {
    const list = frame.lists[line]
    const at = list?.lastIndexOf(trace) ?? -1
    if (!list || at < 0) return
    if (at === list.length - 1) list.pop()
    else list.splice(at, 1)
    if (list.length === 0) frame.used.removeLine(line)
  })
}
