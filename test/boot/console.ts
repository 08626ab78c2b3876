/**
 * Talking to a program over its standard streams: what a test expects it to say, and what the test
 * types. Deadlines are generous and only there so that a test ends; nothing is said about speed.
 */
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'

/** How long anything may take, in seconds, unless a test says otherwise. */
export const PATIENCE = 200
/** So much of the end of a conversation is shown when it goes wrong. */
const TAIL = 6000

/** How a program ended: its code, or the signal that ended it, and what it said at last. */
export interface Ending {
  readonly code: number | null
  readonly err: string
}

export class Conversation {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #name: string
  readonly #ended: Promise<number | null>
  #hasEnded = false
  #text = ''
  #errors = ''
  #read = 0
  #changed: () => void = () => {}

  /** `name` is what failures call the program. */
  constructor(child: ChildProcessWithoutNullStreams, name: string) {
    this.#child = child
    this.#name = name
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#add(text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text
      this.#changed()
    })
    // One that has gone does not read any more, and then says so by its end.
    child.stdin.on('error', () => {})
    this.#ended = new Promise((resolve) => {
      child.on('error', () => resolve(null))
      child.on('close', (code) => resolve(code))
    })
    void this.#ended.then(() => {
      this.#hasEnded = true
      this.#changed()
    })
  }

  /** All that was said so far, without the carriage returns of a console. */
  get transcript(): string {
    return this.#text
  }

  get errors(): string {
    return this.#errors
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Waits until the program says `what` after all that was read before; gives what came first. */
  async expect(what: string | RegExp, seconds = PATIENCE): Promise<string> {
    const end = Date.now() + seconds * 1000
    for (;;) {
      const rest = this.#text.slice(this.#read)
      const match = typeof what === 'string' ? plainMatch(rest, what) : what.exec(rest)
      if (match) {
        this.#read += match.index + match[0].length
        return rest.slice(0, match.index)
      }
      if (this.#hasEnded) throw this.#failure(`ended before it said ${String(what)}`)
      if (Date.now() >= end) throw this.#failure(`did not say ${String(what)}`)
      await this.#change(end - Date.now())
    }
  }

  /** Overlooks all that was said so far. */
  skip(): void {
    this.#read = this.#text.length
  }

  send(text: string): void {
    this.#child.stdin.write(text)
  }

  /** Ends the program's standard input. */
  endInput(): void {
    this.#child.stdin.end()
  }

  /** Waits until the program ends. */
  async ended(seconds = PATIENCE): Promise<Ending> {
    const end = Date.now() + seconds * 1000
    while (!this.#hasEnded) {
      if (Date.now() >= end) throw this.#failure('did not end')
      await this.#change(end - Date.now())
    }
    return { code: await this.#ended, err: this.#errors }
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    if (!this.#hasEnded) this.#child.kill(signal)
  }

  #add(text: string): void {
    this.#text += text.replaceAll('\r', '')
    this.#changed()
  }

  async #change(ms: number): Promise<void> {
    const timer = new AbortController()
    const changed = new Promise<void>((resolve) => (this.#changed = resolve))
    await Promise.race([changed, delay(ms, undefined, timer).catch(() => {})])
    timer.abort()
  }

  #failure(what: string): Error {
    const tail = this.#text.slice(-TAIL)
    return new Error(`${this.#name} ${what}. It said at last:\n${tail}\n${this.#errors}`)
  }
}

function plainMatch(text: string, what: string): RegExpExecArray | undefined {
  const index = text.indexOf(what)
  return index < 0 ? undefined : Object.assign([what], { index, input: text }) as RegExpExecArray
}
