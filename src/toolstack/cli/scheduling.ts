/**
 * The subcommands for schedulers: vcpu-pin, sched-credit, sched-credit2, sched-rtds.
 *
 * Where real xl says something and goes on as if nothing were, so does this: asked for the
 * parameters of a pool with another scheduler, it exits with 0.
 */
import { cpusIn } from '../config/cpu-range.ts'
import {
  type DomainSummary, type Libxl, LibxlError, type PoolParameters, type SchedulerName,
  type SchedulerParameters,
} from '../domain/libxl.ts'
import { cpuRange, schedulingHeader, schedulingRow } from './columns.ts'
import type { Command, Invocation } from './command.ts'
import { reservationCommand } from './reservations.ts'
import { warnUnreachable } from './soft-affinity.ts'
import { complain, Exit, findDomain, findPool, type World } from './world.ts'

/**
 * The node of each CPU that can be named. As with real xl these are as many as fill whole bytes;
 * those that there are not are of no node.
 */
export async function nodesOf(libxl: Libxl): Promise<number[]> {
  const { cpus } = await libxl.info()
  return Array.from({ length: Math.ceil(cpus.length / 8) * 8 }, (_, cpu) => cpus[cpu]?.node ?? -1)
}

/** One of the two affinities; undefined when it shall stay. Exit when it is wrong. */
function affinityOf(
  world: World, text: string, kind: string, nodes: readonly number[],
): readonly number[] | undefined {
  if (text === '-') return undefined
  const cpus = cpusIn(text, nodes)
  if (cpus && (cpus.length > 0 || kind === 'soft')) return cpus
  world.err(cpus ? `vcpu ${kind} affinity map is empty\n` : `Invalid pcpu range: ${text}.\n`)
  throw new Exit(1)
}

async function vcpuPin({ world, operands, globals }: Invocation): Promise<number> {
  const [name = '', wanted = '', hardText = '', softText = '-'] = operands
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  if (wanted !== 'all' && !/^\d+$/.test(wanted)) {
    world.err(`Error: Invalid argument ${wanted} as VCPU.\n`)
    return 1
  }
  const nodes = await nodesOf(libxl)
  const hard = affinityOf(world, hardText, 'hard', nodes)
  const soft = affinityOf(world, softText, 'soft', nodes)
  if (globals.dryRun) {
    world.out(`cpumap: ${cpuRange(hard?.length === nodes.length ? undefined : hard)}\n`)
    return 0
  }
  if (!(await libxl.list()).some((domain) => domain.domid === domid)) {
    world.err('Could not get domain info\n')
    return 1
  }
  const vcpus = wanted === 'all'
    ? (await libxl.vcpus(domid)).map(({ vcpu }) => vcpu) : [Number(wanted)]
  for (const vcpu of vcpus) {
    try {
      if (hard || soft) {
        await libxl.setVcpuAffinity(domid, vcpu, { hard, soft })
        if (soft) await warnUnreachable(world, libxl, domid, [vcpu])
        continue
      }
    } catch (error) {
      complain(world, error)
    }
    world.err(`Could not set affinity for vcpu \`${vcpu}'.\n`)
    return 1
  }
  return 0
}

/** What differs between sched-credit and sched-credit2. */
interface WeightedScheduler {
  readonly name: SchedulerName
  /** A pool's parameters as they are shown. */
  line(terms: PoolParameters): string
  /** Options for a pool's parameters, beside the rate limit. */
  readonly poolOptions: Readonly<Record<string, keyof PoolParameters>>
}

const credit2: WeightedScheduler = {
  name: 'credit2',
  line: ({ ratelimitUs }) => `ratelimit=${ratelimitUs}us`,
  poolOptions: { ratelimit: 'ratelimitUs' },
}
const credit: WeightedScheduler = {
  name: 'credit',
  line: ({ migrationDelayUs, ratelimitUs, sliceMs }) =>
    `tslice=${sliceMs}ms ratelimit=${ratelimitUs}us migration-delay=${migrationDelayUs}us`,
  poolOptions: { ratelimit: 'ratelimitUs', slice: 'sliceMs', delay: 'migrationDelayUs' },
}

/** As C's strtol reads it: what is no number is 0. */
function numberOf(text: string | undefined): number {
  return Number.parseInt(text ?? '', 10) || 0
}

/** The options of `keys` that were given, as numbers under their fields' names. */
function given<K extends string>(
  options: ReadonlyMap<string, string>, keys: Readonly<Record<string, K>>,
): Partial<Record<K, number>> {
  const chosen: Partial<Record<K, number>> = {}
  for (const [key, field] of Object.entries(keys)) {
    if (options.has(key)) chosen[field] = numberOf(options.get(key))
  }
  return chosen
}

/** Says what was wrong, and that a call of libxl failed. */
function failed(world: World, error: unknown, call: string): number {
  if (!(error instanceof LibxlError)) throw error
  if (error.message !== '') complain(world, error)
  world.err(`${call} failed.\n`)
  return 1
}

async function listDomain(
  world: World, libxl: Libxl, scheduler: SchedulerName, domain: DomainSummary | number,
): Promise<number> {
  const domid = typeof domain === 'number' ? domain : domain.domid
  try {
    const actual = await libxl.cpus.schedulerOf(domid)
    if (actual !== scheduler) {
      world.err(`libxl_domain_sched_params_get returned ${actual} not ${scheduler}.\n`)
      return 1
    }
    const terms = await libxl.cpus.terms(domid)
    if (typeof domain !== 'number') world.out(schedulingRow(domain, terms))
    return 0
  } catch (error) {
    return failed(world, error, 'libxl_domain_sched_params_get')
  }
}

/** The pools that have the scheduler, or the one that was asked for. */
async function listPools(
  world: World, libxl: Libxl, kind: WeightedScheduler, only: string | undefined, brief: boolean,
): Promise<number> {
  const pools = only !== undefined ? [await findPool(world, libxl, only)]
    : (await libxl.cpupools()).filter((pool) =>
      brief ? pool.id === 0 : pool.scheduler === kind.name)
  const domains = await libxl.list()
  for (const { id, name } of pools) {
    try {
      const terms = await libxl.cpus.poolParameters(id, kind.name)
      world.out(`Cpupool ${name}: ${kind.line(terms)}\n`)
    } catch (error) {
      failed(world, error, `libxl_sched_${kind.name}_params_get`)
      world.out(`Cpupool ${name}: [sched params unavailable]\n`)
      continue
    }
    if (brief) continue
    world.out(schedulingHeader)
    for (const domain of domains.filter(({ poolName }) => poolName === name)) {
      await listDomain(world, libxl, kind.name, domain)
    }
  }
  return 0
}

async function setPool(
  world: World, libxl: Libxl, kind: WeightedScheduler, name: string | undefined,
  change: Partial<PoolParameters>,
): Promise<number> {
  const pool = await findPool(world, libxl, name ?? '0')
  let call = 'get'
  try {
    await libxl.cpus.poolParameters(pool.id, kind.name)
    call = 'set'
    await libxl.cpus.setPoolParameters(pool.id, kind.name, change)
    return 0
  } catch (error) {
    return failed(world, error, `libxl_sched_${kind.name}_params_${call}`)
  }
}

/** A command line that asks for things that do not go together. */
function contradiction(
  kind: WeightedScheduler, options: ReadonlyMap<string, string>,
): string | undefined {
  const domain = options.has('domain')
  const strict = kind.name === 'credit'
  if (domain && options.has('cpupool') || strict && domain && options.has('schedparam')) {
    return strict
      ? 'Specifying a cpupool or schedparam is not allowed with domain options.'
      : 'Specifying a cpupool is not allowed with other options.'
  }
  if (!domain && (options.has('weight') || options.has('cap'))) return 'Must specify a domain.'
  const poolTerms = Object.keys(kind.poolOptions).some((key) => options.has(key))
  return strict && poolTerms && !options.has('schedparam')
    ? 'Must specify schedparam to set schedule parameter values.' : undefined
}

function weighted(kind: WeightedScheduler) {
  return async ({ world, options }: Invocation): Promise<number> => {
    const wrong = contradiction(kind, options)
    if (wrong !== undefined) {
      world.err(`${wrong}\n`)
      return 1
    }
    const libxl = await world.machine()
    const pool = options.get('cpupool')
    if (options.has('schedparam')) {
      const change = given(options, kind.poolOptions)
      return Object.keys(change).length > 0
        ? setPool(world, libxl, kind, pool, change) : listPools(world, libxl, kind, pool, true)
    }
    const name = options.get('domain')
    if (name === undefined) return listPools(world, libxl, kind, pool, false)
    const domid = await findDomain(world, libxl, name)
    const change: Partial<SchedulerParameters> =
      given(options, { weight: 'weight', cap: 'cap' } as const)
    if (Object.keys(change).length === 0) {
      world.out(schedulingHeader)
      const summary = (await libxl.list()).find((domain) => domain.domid === domid)
      return listDomain(world, libxl, kind.name, summary ?? domid)
    }
    try {
      await libxl.cpus.setTerms(domid, kind.name, change)
      return 0
    } catch (error) {
      return failed(world, error, 'libxl_domain_sched_params_set')
    }
  }
}

const weightOptions = [
  { key: 'domain', letter: 'd', name: 'domain', value: true },
  { key: 'weight', letter: 'w', name: 'weight', value: true },
  { key: 'cap', letter: 'c', name: 'cap', value: true },
  { key: 'schedparam', letter: 's', name: 'schedparam' },
  { key: 'ratelimit', letter: 'r', name: 'ratelimit_us', value: true },
  { key: 'cpupool', letter: 'p', name: 'cpupool', value: true },
]

export const schedulingCommands: readonly Command[] = [
  {
    name: 'vcpu-pin', summary: 'Set which CPUs a VCPU can use',
    synopsis: '[option] <Domain> <VCPU|all> <Hard affinity|-|all> <Soft affinity|-|all>',
    optionsHelp: `-f, --force        undo an override pinning done by the kernel
--ignore-global-affinity-masks Ignore global masks in xl.conf`,
    globals: 'vtTfN',
    options: [
      { key: 'force', letter: 'f', name: 'force' },
      { key: 'masks', name: 'ignore-global-affinity-masks' },
    ],
    needs: 3, run: vcpuPin,
  },
  {
    name: 'sched-credit', summary: 'Get/set credit scheduler parameters',
    synopsis: '[-d <Domain> [-w[=WEIGHT]|-c[=CAP]]] [-s [-t TSLICE] [-r RATELIMIT]] [-p CPUPOOL]',
    optionsHelp: `-d DOMAIN, --domain=DOMAIN        Domain to modify
-w WEIGHT, --weight=WEIGHT        Weight (int)
-c CAP, --cap=CAP                 Cap (int)
-s         --schedparam           Query / modify scheduler parameters
-t TSLICE, --tslice_ms=TSLICE     Set the timeslice, in milliseconds
-r RLIMIT, --ratelimit_us=RLIMIT  Set the scheduling rate limit, in microseconds
-m DLY, --migration_delay_us=DLY  Set the migration delay, in microseconds
-p CPUPOOL, --cpupool=CPUPOOL     Restrict output to CPUPOOL`,
    globals: 'vtTf',
    options: [
      ...weightOptions,
      { key: 'slice', letter: 't', name: 'tslice_ms', value: true },
      { key: 'delay', letter: 'm', name: 'migration_delay_us', value: true },
    ],
    needs: 0, run: weighted(credit),
  },
  {
    name: 'sched-credit2', summary: 'Get/set credit2 scheduler parameters',
    synopsis: '[-d <Domain> [-w[=WEIGHT]]] [-p CPUPOOL]',
    optionsHelp: `-d DOMAIN, --domain=DOMAIN     Domain to modify
-w WEIGHT, --weight=WEIGHT     Weight (int)
-c CAP,    --cap=CAP           Cap (int)
-s         --schedparam        Query / modify scheduler parameters
-r RLIMIT, --ratelimit_us=RLIMIT Set the scheduling rate limit, in microseconds
-p CPUPOOL, --cpupool=CPUPOOL  Restrict output to CPUPOOL`,
    globals: 'vtTf', options: weightOptions, needs: 0, run: weighted(credit2),
  },
  reservationCommand,
]
