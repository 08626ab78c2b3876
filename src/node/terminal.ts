/**
 * This process's standard input and output as a console is attached to them.
 *
 * A terminal is put into raw mode while input is read, and is restored on every way out: closing,
 * the process's exit, and signals that end it.
 */
export class ProcessTerminal {
  readonly #restore = (): void => this.close()
  #raw = false
  #reading = false

  /** Whether input comes from a terminal. */
  get isTerminal(): boolean {
    return process.stdin.isTTY === true
  }

  /** Of the terminal that output goes to, or of a usual one. */
  size(): { readonly rows: number, readonly columns: number } {
    return { rows: process.stdout.rows || 24, columns: process.stdout.columns || 80 }
  }

  /** Writes to standard output; false asks to wait for `onDrain`. */
  write(bytes: Uint8Array): boolean {
    return process.stdout.write(bytes)
  }

  onDrain(handler: () => void): void {
    process.stdout.on('drain', handler)
  }

  /** Calls back for each piece of input, and once when it ends. */
  open(input: (bytes: Uint8Array) => void, ended: () => void): void {
    if (this.isTerminal) {
      this.#raw = true
      process.stdin.setRawMode(true)
      process.on('exit', this.#restore)
      for (const signal of SIGNALS) process.on(signal, this.#onSignal)
    }
    this.#reading = true
    process.stdin.on('data', input)
    process.stdin.once('end', ended)
    process.stdin.once('error', ended)
    process.stdin.resume()
  }

  pause(): void {
    process.stdin.pause()
  }

  resume(): void {
    process.stdin.resume()
  }

  /** Leaves the terminal as it was found. */
  close(): void {
    if (this.#raw) {
      this.#raw = false
      process.stdin.setRawMode(false)
      process.removeListener('exit', this.#restore)
      for (const signal of SIGNALS) process.removeListener(signal, this.#onSignal)
    }
    if (this.#reading) {
      this.#reading = false
      process.stdin.removeAllListeners('data')
      process.stdin.pause()
      // A pipe that stays open would keep the process alive.
      const input: { unref?: () => void } = process.stdin
      input.unref?.()
    }
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.close()
    process.kill(process.pid, signal)
  }
}

const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']
