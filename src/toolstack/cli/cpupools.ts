/**
 * The subcommands for cpupools, in the words and with the exit codes that real xl 4.17 had.
 *
 * Like it, cpupool-cpu-add and -remove go on after a CPU that could not be moved, say so, and exit
 * with 0. A number beyond the CPUs that can be named means nothing, silently.
 */
import { ConfigError, parseConfig } from '../config/parser.ts'
import { cpusIn, isCpuRange } from '../config/cpu-range.ts'
import { Settings } from '../config/settings.ts'
import { type Libxl, LibxlError, type SchedulerName } from '../domain/libxl.ts'
import type { Command, Invocation } from './command.ts'
import { nodesOf } from './scheduling.ts'
import { complain, Exit, findPool, type World } from './world.ts'

const SCHEDULERS: readonly SchedulerName[] = ['credit', 'credit2', 'rtds', 'null', 'arinc653']
/** ERROR_INVAL as an exit code, which real xl's cpupool-create has. */
const INVALID = 6

function fail(world: World, line: string, code = 1): never {
  world.err(`${line}\n`)
  throw new Exit(code)
}

async function settingsFor({ world, operands, options }: Invocation): Promise<Settings> {
  const assignments = operands.filter((operand) => operand.includes('='))
  const file = options.get('defconfig') ?? operands.find((operand) => !operand.includes('='))
  let text = ''
  if (file !== undefined) {
    try {
      text = await world.readText(file)
    } catch (error) {
      fail(world, `Failed to read config file: ${file}: ${(error as Error).message}`)
    }
  }
  const source = file ?? 'command line'
  try {
    const whole = [text, ...assignments].join('\n') + '\n'
    return new Settings(source, parseConfig(source, whole))
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const line of error.lines) world.err(`${line}\n`)
    throw new Exit(1)
  }
}

/** The free CPUs that a configuration asks for: by number, by range, or by node. */
async function cpusFor(world: World, libxl: Libxl, settings: Settings): Promise<number[]> {
  const free = await libxl.cpus.freeCpus()
  if (settings.has('nodes')) {
    const { cpus } = await libxl.info()
    const nodes = new Set((settings.list('nodes') ?? [])
      .map((item) => item.kind === 'atom' ? Number(item.text) : NaN))
    const found = free.filter((cpu) => nodes.has(cpus[cpu]?.node ?? NaN))
    return found.length > 0 ? found : fail(world, 'no free cpu found', INVALID)
  }
  const value = settings.valueOf('cpus')
  if (!value) return []
  const texts = value.kind === 'list'
    ? value.items.map((item) => item.kind === 'atom' ? item.text : '') : [value.text]
  const wanted = texts.flatMap((text) => {
    if (!isCpuRange(text)) return fail(world, `Invalid pcpu range: ${text}.`, INVALID)
    const high = Number(/^\d+$/.exec(text)?.[0] ?? 0)
    return cpusIn(text, new Array<number>(Math.max(high, MOST_CPU) + 1).fill(0)) ?? []
  })
  const missing = wanted.find((cpu) => !free.includes(cpu))
  return missing === undefined
    ? wanted : fail(world, `cpu ${missing} illegal or not free`, INVALID)
}

const MOST_CPU = 63

async function create(invocation: Invocation): Promise<number> {
  const { world, options, globals } = invocation
  const settings = await settingsFor(invocation)
  const libxl = await world.machine()
  const name = settings.string('name') ?? fail(world, 'Missing cpupool name!')
  const pools = await libxl.cpupools()
  if (pools.some((pool) => pool.name === name)) {
    fail(world, `Pool name "${name}" already exists`)
  }
  const wanted = settings.string('sched') ?? (await libxl.info()).scheduler
  const scheduler = SCHEDULERS.find((known) => known === wanted)
    ?? fail(world, 'Unknown scheduler')
  const cpus = await cpusFor(world, libxl, settings)
  world.out(`Using config file "${settings.source}"\ncpupool name:   ${name}\n` +
    `scheduler:      ${scheduler}\nnumber of cpus: ${cpus.length}\n`)
  if (globals.dryRun || options.has('dryrun')) return 0
  try {
    await libxl.cpus.createPool(name, scheduler, cpus)
    return 0
  } catch (error) {
    complain(world, error)
    return fail(world, 'error on creating cpupool')
  }
}

async function destroy({ world, operands: [name = ''] }: Invocation): Promise<number> {
  const libxl = await world.machine()
  const { id } = await findPool(world, libxl, name)
  try {
    await libxl.cpus.destroyPool(id)
    return 0
  } catch (error) {
    if (!(error instanceof LibxlError)) throw error
    return fail(world, `Can't destroy cpupool '${name}'`)
  }
}

async function rename({ world, operands: [name = '', next = ''] }: Invocation): Promise<number> {
  const libxl = await world.machine()
  const { id } = await findPool(world, libxl, name)
  await libxl.cpus.renamePool(id, next)
  return 0
}

/** cpupool-cpu-add and cpupool-cpu-remove. */
function eachCpu(
  move: (libxl: Libxl, pool: number, cpu: number) => Promise<void>,
  otherwise: (name: string) => string,
) {
  return async ({ world, operands: [name = '', text = ''] }: Invocation): Promise<number> => {
    const libxl = await world.machine()
    const { id } = await findPool(world, libxl, name)
    const nodes = await nodesOf(libxl)
    const cpus = cpusIn(text, nodes) ?? fail(world, `Invalid pcpu range: ${text}.`)
    let all = true
    for (const cpu of cpus) {
      try {
        await move(libxl, id, cpu)
      } catch (error) {
        complain(world, error)
        all = false
      }
    }
    if (!all) world.err(otherwise(name))
    return 0
  }
}

async function migrate({ world, operands: [who = '', name = ''] }: Invocation): Promise<number> {
  const libxl = await world.machine()
  const domain = (await libxl.list()).find((one) =>
    one.name === who || String(one.domid) === who)
  if (!domain) return fail(world, `unknown domain '${who}'`)
  const { id } = await findPool(world, libxl, name)
  try {
    await libxl.cpus.moveDomain(domain.domid, id)
    return 0
  } catch (error) {
    complain(world, error)
    return 1
  }
}

/** Pool-0 keeps the CPUs of node 0 and its domains; each other node becomes a pool. */
async function numaSplit({ world }: Invocation): Promise<number> {
  const libxl = await world.machine()
  const { cpus, nodes, scheduler } = await libxl.info()
  const pools = await libxl.cpupools()
  if (pools.length > 1) return fail(world, 'splitting not possible, already cpupools in use')
  const found = SCHEDULERS.find((known) => known === scheduler) ?? 'credit2'
  await libxl.cpus.renamePool(0, 'Pool-node0')
  for (let node = 1; node < nodes.length; node++) {
    const own = [...cpus.entries()].flatMap(([cpu, place]) => place.node === node ? [cpu] : [])
    for (const cpu of own) await libxl.cpus.removeCpu(0, cpu)
    await libxl.cpus.createPool(`Pool-node${node}`, found, own)
  }
  return 0
}

const CPU_SYNOPSIS = '<CPU Pool> <CPU nr>|node:<node nr>'

export const cpupoolCommands: readonly Command[] = [
  {
    name: 'cpupool-create', summary: 'Create a new CPU pool',
    synopsis: '[options] [<ConfigFile>] [Variable=value ...]',
    optionsHelp: `-h, --help                   Print this help.
-f FILE, --defconfig=FILE    Use the given configuration file.
-n, --dryrun                 Dry run - prints the resulting configuration.
                              (deprecated in favour of global -N option).

See the xlcpupool.cfg(5) manpage for more information.`,
    globals: 'vtTfN',
    options: [
      { key: 'defconfig', letter: 'f', name: 'defconfig', value: true },
      { key: 'dryrun', letter: 'n', name: 'dryrun' },
    ],
    needs: 0, run: create,
  },
  {
    name: 'cpupool-destroy', summary: 'Deactivates a CPU pool', synopsis: '<CPU Pool>',
    globals: 'vtTf', options: [], needs: 1, run: destroy,
  },
  {
    name: 'cpupool-rename', summary: 'Renames a CPU pool', synopsis: '<CPU Pool> <new name>',
    globals: 'vtTf', options: [], needs: 2, run: rename,
  },
  {
    name: 'cpupool-cpu-add', summary: 'Adds a CPU to a CPU pool', synopsis: CPU_SYNOPSIS,
    globals: 'vtTf', options: [], needs: 2,
    run: eachCpu((libxl, pool, cpu) => libxl.cpus.addCpu(pool, cpu),
      (name) => `some cpus may not have been added to ${name}\n`),
  },
  {
    name: 'cpupool-cpu-remove', summary: 'Removes a CPU from a CPU pool',
    synopsis: CPU_SYNOPSIS, globals: 'vtTf', options: [], needs: 2,
    run: eachCpu((libxl, pool, cpu) => libxl.cpus.removeCpu(pool, cpu),
      (name) => `Some cpus may have not or only partially been removed from '${name}'.\n` +
        `If a cpu can't be added to another cpupool, add it to '${name}' again and retry.\n`),
  },
  {
    name: 'cpupool-migrate', summary: 'Moves a domain into a CPU pool',
    synopsis: '<Domain> <CPU Pool>', globals: 'vtTf', options: [], needs: 2, run: migrate,
  },
  {
    name: 'cpupool-numa-split', summary: 'Splits up the machine into one CPU pool per NUMA node',
    synopsis: '', globals: 'vtTf', options: [], needs: 0,
    run: numaSplit,
  },
]
