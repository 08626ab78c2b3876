/**
 * For tests only: xl's command lines over a hypervisor that only keeps books.
 */
import { Xenstored } from '../../xenstore/xenstored.ts'
import { sampleElf } from '../build/sample-kernel.ts'
import { FakeControl, FakeHost } from '../domain/fake-control.ts'
import { LocalLibxl } from '../domain/local-libxl.ts'
import { runXl } from './main.ts'
import type { ConsoleTerminal, World } from './world.ts'

class FakeTerminal implements ConsoleTerminal {
  isTerminal = false
  rows = 24
  columns = 170
  shown = ''
  opened = 0
  closed = 0
  type: (bytes: Uint8Array) => void = () => {}
  size(): { rows: number, columns: number } {
    return { rows: this.rows, columns: this.columns }
  }
  write(bytes: Uint8Array): boolean {
    this.shown += new TextDecoder().decode(bytes)
    return true
  }
  onDrain(): void {}
  open(input: (bytes: Uint8Array) => void): void {
    this.opened++
    this.type = input
  }
  pause(): void {}
  resume(): void {}
  close(): void {
    this.closed++
  }
}

const configText = 'name="pvh"\ntype="pvh"\nkernel="/kernel"\nmemory=256\nextra="console=hvc0"\n'

/** xl over a machine that keeps books, with a terminal and files of the test's own. */
export function xl() {
  const control = new FakeControl()
  const host = new FakeHost()
  host.files.set('/kernel', sampleElf())
  const libxl = new LocalLibxl(control, new Xenstored(), host)
  const terminal = new FakeTerminal()
  const files = new Map([['a.cfg', configText]])
  const jitWishes: string[] = []
  let out = ''
  let err = ''
  const world: World = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    terminal,
    wishJit: (wish) => void jitWishes.push(wish),
    machine: async () => libxl,
    ownMachine: async () => libxl,
    readText: async (path) => {
      const text = files.get(path)
      if (text === undefined) throw new Error('No such file or directory')
      return text
    },
    globalConfig: async () => ({ path: 'xl.conf', text: files.get('xl.conf') ?? '' }),
    absolutePath: (path) => path,
    now: () => new Date(host.nowMs),
    delay: (ms, work) => host.delay(ms, work),
    uname: () => ({ host: 'h', release: 'r', version: 'v', machine: 'x86_64' }),
    pid: 7,
  }
  /** Runs a command line; what it said and its exit code. */
  const run = async (line: string): Promise<{ code: number, out: string, err: string }> => {
    out = err = ''
    const code = await runXl(line.split(' ').filter((word) => word !== ''), world)
    return { code, out, err }
  }
  return { control, host, libxl, terminal, files, jitWishes, world, run }
}

/** Expects what a command line says: `>` lines on standard output, `!` lines on standard error. */
export async function expectXl(
  run: (line: string) => Promise<{ code: number, out: string, err: string }>,
  line: string, code: number, ...said: string[]
): Promise<void> {
  const mark = (text: string, sign: string): string[] =>
    text.split('\n').slice(0, -1).map((one) => sign + one)
  const result = await run(line)
  const actual = [...mark(result.err, '!'), ...mark(result.out, '>'), `code ${result.code}`]
  const expected = [...said, `code ${code}`]
  if (actual.join('\n') !== expected.join('\n')) {
    throw new Error(`xl ${line}\n${actual.join('\n')}\ninstead of\n${expected.join('\n')}`)
  }
}

/** Lets what can happen happen. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5))
}
