/**
 * Which traces there are, by frame, and where in them an instruction's record is.
 *
 * A trace's records stand for instructions at ascending offsets of its page; a trace that crosses
 * into the next page belongs to both frames, and is entered at its first record only.
 */
import { MAX_LENGTH } from '../../isa/decode/decoder.ts'
import type { CodeLines } from './code-lines.ts'
import { field, heatWordOf, RECORD_BYTES, Special } from './record.ts'

const PAGE = 4096
const PAGE_SHIFT = 12
/** A frame's traces are searched one by one, and code that has more of them is made for that: when
 * there are as many, all go. */
const TRACES_A_FRAME = 256
const NONE: readonly Trace[] = []

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
  if ((trace.machine & -PAGE) >>> 0 !== page) {
    lines.addRange(0, MAX_LENGTH)
    return
  }
  const offset = trace.machine & PAGE - 1
  lines.addRange(offset, trace.end - offset)
}

export class Traces {
  readonly #u16: Uint16Array
  /** By frame number. A frame stays when its code is gone: a map whose keys come and go walks
   * over those that went. */
  readonly #traces = new Map<number, Trace[]>()

  constructor(core: ArrayBuffer) {
    this.#u16 = new Uint16Array(core)
  }

  /** Frames that have, or had, code; of those that only are watched, too. */
  frames(): Iterable<number> {
    return this.#traces.keys()
  }

  /** The traces of the frame that an address lies in; undefined when it never had any. */
  at(machine: number): Trace[] | undefined {
    return this.#traces.get(machine >>> PAGE_SHIFT)
  }

  /** The same, for traces to be added to. */
  toAdd(machine: number): Trace[] {
    const frame = machine >>> PAGE_SHIFT
    let traces = this.#traces.get(frame)
    if (!traces) {
      traces = []
      this.#traces.set(frame, traces)
    }
    return traces
  }

  /** Adds a trace to the frame of an address, and gives those that are to be forgotten for it. */
  add(machine: number, trace: Trace): readonly Trace[] {
    const traces = this.toAdd(machine)
    const gone = traces.length < TRACES_A_FRAME ? NONE : traces.splice(0)
    traces.push(trace)
    return gone
  }

  replace(machine: number, traces: Trace[]): void {
    this.#traces.set(machine >>> PAGE_SHIFT, traces)
  }

  clear(): void {
    this.#traces.clear()
  }

  /** The record of the instruction at an address that may be entered, or 0. */
  recordAt(machine: number, mode: number): number {
    const traces = this.at(machine)
    if (!traces) return 0
    for (const trace of traces) {
      if (trace.mode !== mode || !isWithin(trace, machine)) continue
      const record = trace.crosses
        ? trace.machine === machine ? trace.first : 0
        : this.#recordIn(trace, machine & PAGE - 1)
      if (record !== 0 && this.#isEntry(record)) return record
    }
    return 0
  }

  /** The first offset of the address's page, from the address on, at which recordAt may find
   * something; the page's size when there is none. */
  nextAt(machine: number, mode: number): number {
    let next = PAGE
    for (const trace of this.at(machine) ?? []) {
      if (trace.mode !== mode) continue
      if (!trace.crosses && isWithin(trace, machine)) return machine & PAGE - 1
      if (trace.machine >= machine) next = Math.min(next, trace.machine & PAGE - 1)
    }
    return next
  }

  /** The records of the instruction at `machine`, in all traces for `mode` that have it. */
  recordsAt(machine: number, mode: number): number[] {
    const found: number[] = []
    for (const trace of this.at(machine) ?? []) {
      if (trace.mode !== mode || !isWithin(trace, machine) || trace.crosses) continue
      const record = this.#recordIn(trace, machine & PAGE - 1)
      if (record !== 0) found.push(record)
    }
    return found
  }

  /** How often the instruction at `machine` was jumped to; -1 when no trace for `mode` has it. */
  heatAt(machine: number, mode: number): number {
    return this.recordsAt(machine, mode)
      .reduce((heat, record) => Math.max(heat, this.#u16[heatWordOf(record)]!), -1)
  }

  /** A record that only looks up its own address would lead back to itself, and so would one that
   * joins a trace which is forgotten. */
  #isEntry(record: number): boolean {
    const handler = this.#u16[record + field.handler >>> 1]!
    return handler !== Special.LOOK_UP && handler !== Special.STEP_END
      && handler !== Special.JOIN
  }

  /** The record of a trace's instruction at `offset`, or 0; offsets ascend in a trace. */
  #recordIn(trace: Trace, offset: number): number {
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
