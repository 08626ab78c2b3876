/**
 * `xl top`: xentop, at a terminal with its keys, or in batch mode for scripts.
 *
 * Real xl starts xentop without any option; ours takes xentop's own. Lines that do not fit the
 * terminal's width go on in the next row, as there. Left out: -h and -V, which `xl` has itself.
 */
import { HostGone } from '../host/client.ts'
import type { Libxl } from '../domain/libxl.ts'
import type { Command, Invocation } from './command.ts'
import {
  columnCount, spanOf, summaryLines, type TopLine, topLines, type TopSample, type TopWishes,
} from './top-table.ts'
import type { World } from './world.ts'

const DEFAULT_DELAY_S = 3
const REVERSE = '\x1b[7m'
const BOLD = '\x1b[1m'
const PLAIN = '\x1b[m'
const CLEAR_LINE = '\x1b[K'
const KEYS = ['Delay', 'Networks', 'vBds', 'VCPUs', 'Repeat header', 'Sort order', 'Quit']
const CTRL_C = '\x03'
const ESCAPE = '\x1b'

async function top({ world, options }: Invocation): Promise<number> {
  const number = (key: string): number =>
    Math.max(0, Number.parseInt(options.get(key) ?? '', 10) || 0)
  const wishes: TopWishes = {
    fullNames: options.has('full-name'), networks: options.has('networks'),
    disks: options.has('vbds'), vcpus: options.has('vcpus'),
    repeatHeader: options.has('repeat-header'), sortBy: 0,
  }
  const delayS = options.has('delay') ? number('delay') : DEFAULT_DELAY_S
  const rounds = number('iterations') || Infinity
  const libxl = await world.machine()
  if (options.has('batch')) return await batch(world, libxl, wishes, delayS, rounds)
  if (!world.terminal.isTerminal) {
    world.err('xentop: this is no terminal; use -b\n')
    return 1
  }
  return await new Screen(world, libxl, wishes, delayS).run(rounds)
}

async function take(world: World, libxl: Libxl): Promise<TopSample> {
  const [host, summaries] = [await libxl.info(), await libxl.list()]
  const domains = await Promise.all(summaries.map(async (summary) => {
    // It may have gone meanwhile.
    const vcpus = await libxl.vcpus(summary.domid).catch((error: unknown) => {
      if (error instanceof HostGone) throw error
      return []
    })
    return { summary, vcpus }
  }))
  return { at: world.now(), host, domains }
}

async function batch(
  world: World, libxl: Libxl, wishes: TopWishes, delayS: number, rounds: number,
): Promise<number> {
  let before: TopSample | undefined
  for (let round = 0; round < rounds; round++) {
    if (round > 0) await new Promise<void>((resolve) => world.delay(delayS * 1000, resolve))
    const sample = await take(world, libxl)
    const lines = topLines(sample, before, wishes).flat()
    world.out(lines.map(({ text }) => `${text}\n`).join(''))
    before = sample
  }
  return 0
}

/** xentop at a terminal: draws a sample, then waits for a key or the next one. */
class Screen {
  readonly #world: World
  readonly #libxl: Libxl
  #wishes: TopWishes
  #delayS: number
  /** How many domains are scrolled out at the top. */
  #skipped = 0
  /** What was typed at the prompt for the delay; undefined when there is none. */
  #typed: string | undefined
  #keys = ''
  #ended = false
  #wake: () => void = () => {}

  constructor(world: World, libxl: Libxl, wishes: TopWishes, delayS: number) {
    this.#world = world
    this.#libxl = libxl
    this.#wishes = wishes
    this.#delayS = delayS
  }

  async run(rounds: number): Promise<number> {
    const { terminal } = this.#world
    terminal.open((bytes) => {
      this.#keys += new TextDecoder().decode(bytes)
      this.#wake()
    }, () => {
      this.#ended = true
      this.#wake()
    })
    // The other screen, so that what was shown before is there afterwards.
    this.#write('\x1b[?1049h')
    try {
      let before: TopSample | undefined
      for (let round = 0; round < rounds && !this.#ended; round++) {
        const sample = await take(this.#world, this.#libxl)
        this.#draw(sample, before)
        before = sample
        if (round + 1 < rounds) await this.#pause()
        this.#obey()
      }
      return 0
    } finally {
      this.#write('\x1b[?1049l')
      terminal.close()
    }
  }

  /** Until a key is hit or the delay is over. */
  async #pause(): Promise<void> {
    if (this.#keys !== '' || this.#ended) return
    await new Promise<void>((resolve) => {
      const cancel = this.#world.delay(this.#delayS * 1000, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
    this.#wake = () => {}
  }

  #obey(): void {
    const keys = this.#keys.match(/\x1b\[[A-Z]|[^]/g) ?? []
    this.#keys = ''
    for (const key of keys) {
      if (key === CTRL_C) this.#ended = true
      else if (this.#typed !== undefined) this.#prompted(key, this.#typed)
      else this.#command(key)
    }
  }

  #command(key: string): void {
    const wishes = this.#wishes
    switch (key.toLowerCase()) {
      case 'd': this.#typed = ''; return
      case 'n': this.#wishes = { ...wishes, networks: !wishes.networks }; return
      case 'b': this.#wishes = { ...wishes, disks: !wishes.disks }; return
      case 'v': this.#wishes = { ...wishes, vcpus: !wishes.vcpus }; return
      case 'r': this.#wishes = { ...wishes, repeatHeader: !wishes.repeatHeader }; return
      case 's': this.#wishes = { ...wishes, sortBy: (wishes.sortBy + 1) % columnCount }; return
      case '\x1b[b': this.#skipped++; return
      case '\x1b[a': this.#skipped = Math.max(0, this.#skipped - 1); return
      case 'q': this.#ended = true; return
      default:
    }
  }

  #prompted(key: string, typed: string): void {
    if (key === '\r' || key === '\n') {
      const delayS = Number.parseInt(typed, 10)
      if (delayS > 0) this.#delayS = delayS
      this.#typed = undefined
    } else if (key === ESCAPE) {
      this.#typed = undefined
    } else if (key === '\x7f' || key === '\b') {
      this.#typed = typed.slice(0, -1)
    } else if (key >= ' ') {
      this.#typed = (typed + key).slice(0, 4)
    }
  }

  #draw(sample: TopSample, before: TopSample | undefined): void {
    const { rows, columns } = this.#world.terminal.size()
    const parts = topLines(sample, before, this.#wishes)
    const title = this.#wishes.repeatHeader ? [] : parts.slice(0, 1)
    const domains = parts.slice(title.length)
    this.#skipped = Math.min(this.#skipped, Math.max(0, domains.length - 1))
    const shown = [...title, ...domains.slice(this.#skipped)].flat()
    const lines = [
      ...summaryLines(sample).map((text) => text.slice(0, columns)),
      ...shown.flatMap((line) => this.#rowsOf(line, columns)),
    ]
    const body = lines.slice(0, Math.max(0, rows - 1)).map((line) => `${line}${CLEAR_LINE}\r\n`)
    const bottom = this.#typed === undefined
      ? `  ${KEYS.map(highlit).join('  ')}  ` : `  Delay(sec): ${this.#typed}`
    this.#write(`\x1b[H${body.join('')}\x1b[J\x1b[${rows};1H${bottom}${CLEAR_LINE}`)
  }

  /** The rows of the screen that a line takes, its colours set. */
  #rowsOf({ text, kind }: TopLine, width: number): string[] {
    const [first, end] = spanOf(this.#wishes.sortBy)
    const rows: string[] = []
    for (let at = 0; at < text.length; at += width) {
      const row = text.slice(at, at + width)
      const cut = (index: number): number => Math.min(Math.max(index - at, 0), row.length)
      const [from, to] = kind === 'detail' ? [0, 0] : [cut(first), cut(end)]
      const base = kind === 'header' ? REVERSE : ''
      rows.push(`${base}${row.slice(0, from)}${BOLD}${row.slice(from, to)}${PLAIN}` +
        `${base}${row.slice(to)}${PLAIN}`)
    }
    return rows
  }

  #write(text: string): void {
    this.#world.terminal.write(new TextEncoder().encode(text))
  }
}

/** A word of the last line, its key reversed. */
function highlit(word: string): string {
  const at = word === 'vBds' ? 1 : 0
  return `${word.slice(0, at)}${REVERSE}${word.slice(at, at + 1)}${PLAIN}${word.slice(at + 1)}`
}

export const topCommand: Command = {
  name: 'top', summary: 'Monitor a host and the domains in real time', synopsis: '',
  globals: 'vtT',
  options: [
    { key: 'delay', letter: 'd', name: 'delay', value: true },
    { key: 'networks', letter: 'n', name: 'networks' }, { key: 'vbds', letter: 'x', name: 'vbds' },
    { key: 'repeat-header', letter: 'r', name: 'repeat-header' },
    { key: 'vcpus', letter: 'v', name: 'vcpus' }, { key: 'batch', letter: 'b', name: 'batch' },
    { key: 'iterations', letter: 'i', name: 'iterations', value: true },
    { key: 'full-name', letter: 'f', name: 'full-name' },
  ],
  needs: 0, run: top,
}
