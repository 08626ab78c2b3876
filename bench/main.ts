/**
 * `npm run bench`: measures, prints tables, and writes JSON.
 *
 * What is compared runs in turns, round by round, so that a busy machine disturbs all alike; what
 * counts are the ratios of CPU time. Nothing here fails because something was slow, but it does
 * when checksums differ.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { type GuestResults, measureGuests } from './guests/measure.ts'
import { type System, systems, variantOf } from './guests/systems.ts'
import { publish } from './lib/document.ts'
import { ensureFiles, root, scratchFolder } from './lib/guest.ts'
import { firstLineOf, load, type Results, settingOf } from './lib/results.ts'
import { textOf } from './lib/tables.ts'
import { kernels } from './kernels/list.ts'
import { measureKernels } from './kernels/measure.ts'
import { type Row, rowGroups, rows } from './set/rows.ts'

const USAGE = `Usage: npm run bench -- [options]

  --groups LIST     of kernels, boot, ${rowGroups.join(', ')} (all)
  --rows LIST       only these rows, of all groups of the set unless --groups names some
  --systems LIST    of native, QEMU, QEMU max, ours (all)
  --variant TEXT    runs ours in one more way: 'NAME: WORD ...', where a word is an environment
                    variable (XENOLITH_X=1), an option of xl, or the path of another xl; repeatable
  --rounds N        how often each is measured (3)
  --kernel FILE     the guest's kernel (Debian's cloud kernel, fetched by apt)
  --initrd FILE     the guest's initramfs: its shell must have our prompt
  --output FILE     where the JSON goes (the cache folder)
  --publish         writes bench/results/latest.json and the tables of docs/benchmarks.md
  --render FILE     measures nothing, and takes the results from FILE
`
const GROUPS: readonly string[] = ['kernels', 'boot', ...rowGroups]

function readOptions() {
  return parseArgs({
    options: {
      groups: { type: 'string' },
      rows: { type: 'string' },
      systems: { type: 'string' },
      variant: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string', default: '3' },
      kernel: { type: 'string' },
      initrd: { type: 'string' },
      output: { type: 'string' },
      publish: { type: 'boolean', default: false },
      render: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values
}

type Options = ReturnType<typeof readOptions>

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** The names in `list`, each of which must be one of `known`. */
function namesOf(list: string, known: readonly string[]): string[] {
  const names = list.split(',').map((name) => name.trim())
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) {
    throw new Error(`there is no ${unknown}, but ${known.join(', ')}\n\n${USAGE}`)
  }
  return names
}

interface Choice {
  readonly groups: readonly string[]
  readonly rows: readonly Row[]
  readonly systems: readonly System[]
  /** Kernels by name, or none for all. */
  readonly kernels: readonly string[]
}

/** What the options ask for, and the machine can do. */
function choiceOf(options: Options): Choice {
  const gcc = firstLineOf('gcc', '--version')
  const qemu = firstLineOf('qemu-system-x86_64', '--version')
  if (gcc === undefined) say('There is no gcc: kernels and rows are left out.')
  if (qemu === undefined) say('There is no qemu-system-x86_64: nothing is compared with it.')
  const every = options.rows === undefined ? GROUPS : rowGroups
  const groups = options.groups === undefined ? every : namesOf(options.groups, GROUPS)
  const named = options.rows === undefined ? undefined
    : namesOf(options.rows, [...rows, ...kernels].map(({ name }) => name))
  const wanted = options.systems === undefined ? undefined
    : namesOf(options.systems, systems.map(({ name }) => name))
  return {
    groups: groups.filter((group) => gcc !== undefined || group === 'boot'),
    kernels: named ?? [],
    rows: gcc === undefined ? [] : rows.filter(({ name, group }) =>
      groups.includes(group) && (named?.includes(name) ?? true)),
    systems: [
      ...systems.filter(({ name, kind }) =>
        (wanted?.includes(name) ?? true) && (kind !== 'qemu' || qemu !== undefined)),
      ...options.variant.map(variantOf),
    ],
  }
}

async function measure(options: Options): Promise<Results> {
  const choice = choiceOf(options)
  const rounds = Number(options.rounds)
  const before = load()
  const kernelResults = choice.groups.includes('kernels') ? measureKernels({
    rounds, only: choice.kernels, qemu: choice.systems.some(({ kind }) => kind === 'qemu'),
  }) : undefined
  const boot = choice.groups.includes('boot')
  let guests: GuestResults | undefined
  let guestKernel: string | undefined
  if (boot || choice.rows.length > 0) {
    const { kernel, initrd } = options
    const files = await ensureFiles({
      ...kernel === undefined ? {} : { kernel }, ...initrd === undefined ? {} : { initrd },
    })
    guestKernel = files.kernel
    guests = await measureGuests({
      rounds, files, boot, rows: choice.rows, systems: choice.systems,
    })
  }
  return {
    setting: settingOf([before, load()], guestKernel),
    ...kernelResults ? { kernels: kernelResults } : {}, ...guests ? { guests } : {},
  }
}

function write(path: string, results: Results): void {
  mkdirSync(dirname(path), { recursive: true })
  // Times to a tenth of a millisecond.
  const rounded = (_: string, value: unknown): unknown =>
    typeof value === 'number' ? Math.round(value * 1e4) / 1e4 : value
  const text = JSON.stringify(results, rounded, 1)
  writeFileSync(path, `${text.replaceAll(/\[\s+([^[\]{}]*?)\s+\]/g,
    (_, list: string) => `[${list.replaceAll(/\s+/g, ' ')}]`)}\n`)
}

async function main(): Promise<void> {
  const options = readOptions()
  if (options.help) {
    process.stdout.write(USAGE)
    return
  }
  const results = options.render === undefined ? await measure(options)
    : JSON.parse(readFileSync(options.render, 'utf8')) as Results
  const text = textOf(results)
  process.stdout.write(text)
  const path = options.output ?? join(scratchFolder(), 'results.json')
  if (options.render === undefined) {
    write(path, results)
    say(`Results are in ${path}.`)
  }
  if (results.guests && results.guests.failures.length > 0) {
    results.guests.failures.forEach((failure) => say(`FAILURE: ${failure}`))
    process.exitCode = 1
    return
  }
  if (!options.publish) return
  write(join(root, 'bench/results/latest.json'), results)
  publish('npm run bench', text)
}

await main()
