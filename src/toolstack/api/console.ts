/**
 * A domain's console as a program reads it: text that comes, patterns that are waited for, and
 * commands that a shell there executes.
 *
 * Text is read once: `read`, `expect`, `exec` and iteration all go on where the last one ended.
 * What nobody reads is kept up to a limit, the oldest lost first. Line ends are newlines alone.
 */
import { type ConsoleSession, ERROR_FAIL, type Libxl, LibxlError } from '../domain/libxl.ts'
import { commandLines, type CommandResult, marksOf } from './shell.ts'

/** Unread text beyond this many characters is forgotten. */
const UNREAD_LIMIT = 8 * 1024 * 1024
const INTERRUPT = '\x03'

/** The console ended: its domain, or the host process, is gone. */
export class ConsoleEnded extends LibxlError {
  constructor() {
    super(ERROR_FAIL, 'the console has ended')
  }
}

/** What `expect` found. */
export interface Found {
  /** The text that came before. */
  readonly before: string
  /** The text that fits. */
  readonly text: string
  /** The groups of a regular expression. */
  readonly groups: readonly (string | undefined)[]
}

export interface Patience {
  /** Gives up when aborted, with its reason: `AbortSignal.timeout(60_000)`. */
  readonly signal?: AbortSignal
}

export class GuestConsole implements AsyncIterable<string>, AsyncDisposable {
  #session: ConsoleSession | undefined
  readonly #decoder = new TextDecoder()
  readonly #newToken: () => string
  #unread = ''
  /** Carriage returns at the end of what came, until it is known what follows. */
  #returns = ''
  /** How many characters were forgotten so far. */
  #forgotten = 0
  #ended = false
  readonly #waiting = new Set<() => void>()
  /** Called when it is closed here. */
  onClose: () => void = () => {}
  #last: Promise<unknown> = Promise.resolve()

  private constructor(newToken: () => string) {
    this.#newToken = newToken
  }

  /** Attaches to a domain's console; `newToken` gives words that no guest prints. */
  static async attach(
    libxl: Libxl, domid: number, newToken: () => string,
  ): Promise<GuestConsole> {
    const console = new GuestConsole(newToken)
    console.#session = await libxl.attachConsole(domid, {
      output: (bytes) => console.#take(console.#decoder.decode(bytes, { stream: true })),
      closed: () => console.#end(),
    })
    return console
  }

  /** Whether nothing more will come. */
  get ended(): boolean {
    return this.#ended
  }

  /** Types; resolves once the guest has room for more. */
  async write(input: string | Uint8Array): Promise<void> {
    const session = this.#session
    if (this.#ended || !session) throw new ConsoleEnded()
    const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input
    if (session.write(bytes)) return
    await new Promise<void>((resolve) => session.whenRoom(resolve))
  }

  /** The text that has come and was not read yet, or that comes next; undefined at the end. */
  async read({ signal }: Patience = {}): Promise<string | undefined> {
    while (this.#unread === '') {
      if (this.#ended) return undefined
      await this.#change(signal)
    }
    const text = this.#unread
    this.#unread = ''
    return text
  }

  /** Waits for a text or pattern, and reads up to its end. */
  async expect(what: string | RegExp, { signal }: Patience = {}): Promise<Found> {
    let searched = 0
    for (;;) {
      const found = find(this.#unread, what, searched)
      if (found) {
        this.#unread = this.#unread.slice(found.before.length + found.text.length)
        return found
      }
      if (this.#ended) throw new ConsoleEnded()
      // A text that begins before this would have been found; of a pattern nobody knows.
      const { length } = this.#unread
      const forgotten = this.#forgotten
      await this.#change(signal)
      searched = typeof what === 'string'
        ? Math.max(0, length - what.length - (this.#forgotten - forgotten)) : 0
    }
  }

  /**
   * Has the shell that waits at its prompt run a command, in a subshell without input. What it
   * prints on either stream is its output, and kernel messages that come meanwhile too.
   */
  exec(command: string, patience: Patience = {}): Promise<CommandResult> {
    const next = this.#last.then(() => this.#exec(command, patience))
    this.#last = next.catch(() => {})
    return next
  }

  async #exec(command: string, patience: Patience): Promise<CommandResult> {
    const token = this.#newToken()
    const marks = marksOf(token)
    for (const line of commandLines(command, token)) await this.write(`${line}\n`)
    try {
      await this.expect(marks.begin, patience)
      const { before: output } = await this.expect(marks.end, patience)
      const { before: status } = await this.expect('>\n', patience)
      return { status: Number(status), output }
    } catch (error) {
      if (patience.signal?.aborted) await this.write(INTERRUPT)
      throw error
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    for (let text = await this.read(); text !== undefined; text = await this.read()) yield text
  }

  /** Detaches; whoever waits is told that the console ended. */
  async close(): Promise<void> {
    this.#session?.detach()
    this.#session = undefined
    this.#end()
    this.onClose()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #take(text: string): void {
    const whole = this.#returns + text
    const length = whole.length - (/\r*$/.exec(whole)?.[0].length ?? 0)
    this.#returns = whole.slice(length)
    this.#add(whole.slice(0, length))
  }

  #add(text: string): void {
    if (text === '') return
    this.#unread += text.replaceAll(/\r+\n/g, '\n')
    const excess = this.#unread.length - UNREAD_LIMIT
    if (excess > 0) {
      this.#unread = this.#unread.slice(excess)
      this.#forgotten += excess
    }
    this.#wake()
  }

  #end(): void {
    if (this.#ended) return
    this.#add(this.#returns + this.#decoder.decode())
    this.#ended = true
    this.#wake()
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** Waits until there is more, or the end. */
  async #change(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        this.#waiting.delete(settle)
        signal?.removeEventListener('abort', settle)
        if (signal?.aborted) reject(signal.reason as Error)
        else resolve()
      }
      this.#waiting.add(settle)
      signal?.addEventListener('abort', settle)
    })
  }
}

function find(text: string, what: string | RegExp, from: number): Found | undefined {
  if (typeof what === 'string') {
    const at = text.indexOf(what, from)
    return at < 0 ? undefined : { before: text.slice(0, at), text: what, groups: [] }
  }
  const match = new RegExp(what.source, what.flags.replaceAll(/[gy]/g, '')).exec(text)
  return match
    ? { before: text.slice(0, match.index), text: match[0], groups: match.slice(1) } : undefined
}
