/**
 * A guest's console as a child process: what it says is waited for, what it shall read is written.
 */
import { type ChildProcess, spawn } from 'node:child_process'

/** The guest did not say what was waited for. */
class ConsoleError extends Error {
  override readonly name = 'ConsoleError'
}

const TRANSCRIPT = 4000

export class GuestConsole {
  readonly child: ChildProcess
  /** Settles when the process ends. */
  readonly ended: Promise<void>
  #text = ''
  #position = 0
  #over = false
  #look: (() => void) | undefined

  constructor(
    command: string, options: readonly string[], environment: NodeJS.ProcessEnv = process.env,
  ) {
    // It would outlive us if we are killed.
    this.child = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...options],
      { stdio: 'pipe', env: environment })
    const hear = (data: Buffer): void => {
      this.#text += data.toString('latin1')
      this.#look?.()
    }
    this.child.stdout!.on('data', hear)
    this.child.stderr!.on('data', hear)
    this.child.stdin!.on('error', () => {})
    this.ended = new Promise((resolve) => {
      const end = (): void => {
        this.#over = true
        this.#look?.()
        resolve()
      }
      this.child.once('close', end)
      this.child.once('error', end)
    })
  }

  /** Waits until the guest says `text` after what was waited for last; gives what lies between. */
  expect(text: string, timeoutMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        clearTimeout(timer)
        this.#look = undefined
      }
      const fail = (why: string): void => {
        finish()
        reject(new ConsoleError(
          `${why} ${JSON.stringify(text)}; it said:\n${this.#text.slice(-TRANSCRIPT)}`))
      }
      const timer = setTimeout(
        () => fail(`after ${timeoutMs} ms the guest had not said`), timeoutMs)
      this.#look = () => {
        const at = this.#text.indexOf(text, this.#position)
        if (at < 0) {
          if (this.#over) fail('the process ended and had not said')
          return
        }
        const between = this.#text.slice(this.#position, at)
        this.#position = at + text.length
        finish()
        resolve(between)
      }
      this.#look()
    })
  }

  send(text: string): void {
    this.child.stdin!.write(text)
  }

  /** Ends the process if it still runs. */
  async close(): Promise<void> {
    if (!this.#over) this.child.kill('SIGKILL')
    await this.ended
  }
}
