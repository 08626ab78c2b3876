/**
 * `npm run bench`: measures, prints tables, and writes JSON.
 *
 * What is compared runs in turns, round by round, so that a busy machine disturbs all alike; what
 * counts are the ratios of CPU time. Nothing here fails because something was slow.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { type GuestResults, measureGuests } from './guests/measure.ts'
import { ensureFiles, root, scratchFolder } from './lib/guest.ts'
import { firstLineOf, load, type Results, settingOf } from './lib/results.ts'
import { textOf } from './lib/tables.ts'
import { type KernelResult, measureKernels } from './kernels/measure.ts'

const USAGE = `Usage: npm run bench -- [options]

  --groups LIST     of kernels, guests (kernels,guests)
  --only LIST       of kernels by name (all)
  --rounds N        how often each is measured (3)
  --no-commands     boot guests, but run nothing at their shells
  --kernel FILE     the guest's kernel (Debian's cloud kernel, fetched by apt)
  --initrd FILE     the guest's initramfs: its shell must have our prompt
  --output FILE     where the JSON goes (the cache folder)
  --publish         writes bench/results/latest.json and the tables of docs/benchmarks.md
  --render FILE     measures nothing, and takes the results from FILE
`
const GROUPS = ['kernels', 'guests'] as const
const BEGIN = '<!-- tables of npm run bench begin -->'
const END = '<!-- tables of npm run bench end -->'

function readOptions() {
  return parseArgs({
    allowNegative: true,
    options: {
      groups: { type: 'string', default: GROUPS.join() },
      only: { type: 'string', default: '' },
      rounds: { type: 'string', default: '3' },
      commands: { type: 'boolean', default: true },
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

function kernelResults(options: Options, qemu: boolean): readonly KernelResult[] | undefined {
  if (!firstLineOf('gcc', '--version')) {
    say('There is no gcc: kernels are left out.')
    return undefined
  }
  return measureKernels({
    rounds: Number(options.rounds), qemu,
    only: options.only === '' ? [] : options.only.split(','),
  })
}

async function measure(options: Options): Promise<Results> {
  const groups = options.groups.split(',')
  const unknown = groups.find((name) => !GROUPS.some((group) => group === name))
  if (unknown !== undefined) throw new Error(`there is no group ${unknown}\n\n${USAGE}`)
  const qemu = firstLineOf('qemu-system-x86_64', '--version') !== undefined
  if (!qemu) say('There is no qemu-system-x86_64: nothing is compared with it.')
  const before = load()
  const kernels = groups.includes('kernels') ? kernelResults(options, qemu) : undefined
  let guests: GuestResults | undefined
  let guestKernel: string | undefined
  if (groups.includes('guests')) {
    const { kernel, initrd } = options
    const files = await ensureFiles({
      ...kernel === undefined ? {} : { kernel }, ...initrd === undefined ? {} : { initrd },
    })
    guestKernel = files.kernel
    guests = await measureGuests({
      rounds: Number(options.rounds), files, commands: options.commands,
      systems: qemu ? ['ours', 'qemu', 'qemu max'] : ['ours'],
    })
  }
  return {
    setting: settingOf([before, load()], guestKernel),
    ...kernels ? { kernels } : {}, ...guests ? { guests } : {},
  }
}

/** Puts the tables between the marks of the document. */
function publish(text: string): void {
  const path = join(root, 'docs/benchmarks.md')
  const document = readFileSync(path, 'utf8')
  const [head, rest] = document.split(BEGIN)
  const tail = rest?.split(END)[1]
  if (tail === undefined) throw new Error(`${path} has no marks for the tables`)
  writeFileSync(path, `${head}${BEGIN}\n\n${text}\n${END}${tail}`)
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
  if (!options.publish) return
  write(join(root, 'bench/results/latest.json'), results)
  publish(text)
}

await main()
