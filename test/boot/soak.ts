/**
 * `npm run soak`: guests with two and four VCPUs on two cores in which stress-ng runs one stressor
 * after the other, and then several at once, for half an hour or as long as is asked for. It says
 * what it does, and ends with status 1 if anything went wrong.
 */
import { parseArgs } from 'node:util'
import {
  allStressors, startStressed, stress, type StressedGuest, stressFiles,
} from './stress.ts'
import { TestHost } from './test-host.ts'

const USAGE = `Usage: npm run soak -- [options]

  --minutes N       how long, at least (30)
  --seconds N       of each stressor (6)
  --vcpus LIST      of each guest (2,4)
  --cores N         of the machine (2)
  --only LIST       of stress-ng's stressors
  --seed N          of the choice of those that run at once (1)
`
/** Stressors at once, every other time. */
const AT_ONCE = 4

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seconds: { type: 'string', default: '6' },
    vcpus: { type: 'string', default: '2,4' },
    cores: { type: 'string', default: '2' },
    only: { type: 'string' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

/** One number below `limit` after the other, by a seed. */
function chooser(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0
    return Math.floor(state / 2 ** 32 * limit)
  }
}

/** Stressors by turns until the time is over; what went wrong. */
async function soak(
  host: TestHost, guest: StressedGuest, vcpus: number, end: number,
): Promise<string[]> {
  const stressors = values.only?.split(',') ?? allStressors
  const below = chooser(Number(values.seed) + vcpus)
  const failures: string[] = []
  for (let i = 0; Date.now() < end; i++) {
    const one = stressors[(i >>> 1) % stressors.length]!
    const some = i % 2 === 0 ? [one]
      : [...new Set([one, ...Array.from({ length: AT_ONCE - 1 }, () =>
        stressors[below(stressors.length)]!)])]
    const workers = i % 2 === 0 ? vcpus : 1
    const name = `${guest.name}: ${some.join(' ')}`
    let wrong: string[]
    try {
      wrong = await stress(guest, some, workers, Number(values.seconds))
    } catch (error) {
      // Nothing more can be asked of this guest; others go on.
      console.log(`${name}: NO END`)
      console.log(error)
      console.log(host.log)
      return [...failures, name]
    }
    console.log(`${name}: ${wrong.length === 0 ? 'well' : 'WRONG'}`)
    for (const line of wrong) console.log(line)
    failures.push(...wrong)
  }
  return failures
}

async function main(): Promise<void> {
  const files = await stressFiles()
  if (files.missing) throw new Error(files.missing)
  const host = new TestHost({ environment: { XENOLITH_CORES: values.cores } })
  try {
    await host.xl('list')
    const end = Date.now() + Number(values.minutes) * 60_000
    const failures = await Promise.all(values.vcpus.split(',').map(async (vcpus) =>
      soak(host, await startStressed(host, files, Number(vcpus)), Number(vcpus), end)))
    const count = failures.flat().length
    console.log(count === 0 ? 'Nothing went wrong.' : `${count} lines of what went wrong.`)
    process.exitCode = count === 0 ? 0 : 1
  } finally {
    await host.close()
  }
}

if (values.help) process.stdout.write(USAGE)
else await main()
