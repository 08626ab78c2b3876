/**
 * What xl and the host process say to one another over their socket.
 *
 * A connection begins with one line each way: a hello with the version and what the connection is
 * for. A control connection then carries JSON lines: requests with a number, replies with the same
 * number in any order; that a domain is being made is said before the reply. A console connection
 * carries the console's bytes both ways until its domain ends. Lines are bounded; what is no line
 * of the protocol ends the connection.
 */
import { LibxlError, ERROR_FAIL } from '../domain/libxl.ts'

/** Raised whenever either side would misunderstand the other. */
export const PROTOCOL_VERSION = 2
const LINE_LIMIT = 1024 * 1024

export type Hello =
  | { readonly xenolith: number, readonly kind: 'control' }
  | {
    readonly xenolith: number, readonly kind: 'console', readonly domid: number,
    readonly number: number,
  }

export type Welcome =
  | { readonly xenolith: number, readonly pid: number }
  | { readonly xenolith: number, readonly error: Failure }

export interface Request {
  readonly id: number
  readonly method: string
  readonly params: readonly unknown[]
}

export type Reply =
  /** A domain has this number, and will be whole when there is a result. */
  | { readonly id: number, readonly made: number }
  | { readonly id: number, readonly result: unknown }
  | { readonly id: number, readonly error: Failure }

/** A LibxlError as it travels. */
export interface Failure {
  readonly rc: number
  readonly message: string
}

export function failureOf(error: unknown): Failure {
  if (error instanceof LibxlError) return { rc: error.rc, message: error.message }
  return { rc: ERROR_FAIL, message: error instanceof Error ? error.message : String(error) }
}

export function errorOf(failure: Failure): LibxlError {
  return new LibxlError(failure.rc, failure.message)
}

const encoder = new TextEncoder()

export function encodeLine(value: Hello | Welcome | Request | Reply): Uint8Array {
  return encoder.encode(`${JSON.stringify(value)}\n`)
}

/** Cuts a stream of bytes into lines, parsed; nothing of it is kept beyond LINE_LIMIT. */
export class LineReader {
  readonly #decoder = new TextDecoder()
  #rest: Uint8Array = new Uint8Array(0)

  /**
   * The next line's value out of what came so far and `bytes`; undefined when no line is whole
   * yet, or 'bad' when this is no line of the protocol.
   */
  next(bytes?: Uint8Array): { readonly value: unknown } | 'bad' | undefined {
    if (bytes && bytes.length > 0) {
      const joined = new Uint8Array(this.#rest.length + bytes.length)
      joined.set(this.#rest)
      joined.set(bytes, this.#rest.length)
      this.#rest = joined
    }
    const end = this.#rest.indexOf(0x0a)
    if (end > LINE_LIMIT || (end < 0 && this.#rest.length > LINE_LIMIT)) return 'bad'
    if (end < 0) return undefined
    const line = this.#decoder.decode(this.#rest.subarray(0, end))
    this.#rest = this.#rest.slice(end + 1)
    try {
      return { value: JSON.parse(line) as unknown }
    } catch {
      return 'bad'
    }
  }

  /** What followed the last line: the first bytes of a console. */
  takeRest(): Uint8Array {
    const rest = this.#rest
    this.#rest = new Uint8Array(0)
    return rest
  }
}

/** A record of unknown fields, if `value` is one. */
export function recordOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? value as Readonly<Record<string, unknown>>
    : undefined
}
