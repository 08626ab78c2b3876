/**
 * The subcommands for the scheduler: vcpu-pin and sched-credit2.
 *
 * Left out: affinities by NUMA node (there is one), and the rate limit, which the scheduler does
 * not have.
 */
import { type DomainSummary, type Libxl, LibxlError } from '../domain/libxl.ts'
import { cpuRange, schedulingHeader, schedulingRow } from './columns.ts'
import type { Command, Invocation } from './command.ts'
import { complain, Exit, findDomain, type World } from './world.ts'

/** The CPUs that "0-3,^2" means among `count`; undefined when it is no such list. */
function cpusOf(text: string, count: number): number[] | undefined {
  if (text === 'all') return Array.from({ length: count }, (_, cpu) => cpu)
  const chosen = new Set<number>()
  for (const part of text.split(',')) {
    const match = /^(\^?)(\d{1,4})(?:-(\d{1,4}))?$/.exec(part)
    if (!match) return undefined
    const first = Number(match[2])
    for (let cpu = first; cpu <= Number(match[3] ?? first); cpu++) {
      if (match[1] === '^') chosen.delete(cpu)
      else chosen.add(cpu)
    }
  }
  return [...chosen].sort((a, b) => a - b)
}

/** One of the two affinities; undefined when it shall stay. Exit when it is wrong. */
function affinityOf(
  world: World, text: string, kind: string, count: number,
): readonly number[] | undefined {
  if (text === '-') return undefined
  const cpus = cpusOf(text, count)
  if (cpus && cpus.length > 0) return cpus
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
  const count = (await libxl.info()).maxCpuId + 1
  const hard = affinityOf(world, hardText, 'hard', count)
  const soft = affinityOf(world, softText, 'soft', count)
  if (globals.dryRun) {
    world.out(`cpumap: ${cpuRange(hard?.length === count ? undefined : hard)}\n`)
    return 0
  }
  const vcpus = wanted === 'all'
    ? (await libxl.vcpus(domid)).map(({ vcpu }) => vcpu) : [Number(wanted)]
  for (const vcpu of vcpus) {
    try {
      if (hard || soft) {
        await libxl.setVcpuAffinity(domid, vcpu, { hard, soft })
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

async function listScheduling(
  world: World, libxl: Libxl, domains: readonly DomainSummary[],
): Promise<void> {
  world.out(schedulingHeader)
  for (const domain of domains) {
    try {
      world.out(schedulingRow(domain, await libxl.scheduling(domain.domid)))
    } catch (error) {
      complain(world, error)
    }
  }
}

async function schedCredit2({ world, options }: Invocation): Promise<number> {
  const number = (key: string): number | undefined =>
    options.has(key) ? Number.parseInt(options.get(key) ?? '', 10) || 0 : undefined
  const [weight, cap] = [number('weight'), number('cap')]
  const changing = weight !== undefined || cap !== undefined
  const name = options.get('domain')
  const libxl = await world.machine()
  if (name === undefined) {
    if (!changing) return await listPools(world, libxl, options.get('cpupool'))
    world.err('Must specify a domain.\n')
    return 1
  }
  const domid = await findDomain(world, libxl, name)
  if (!changing) {
    const all = await libxl.list()
    await listScheduling(world, libxl, all.filter((domain) => domain.domid === domid))
    return 0
  }
  try {
    await libxl.setScheduling(domid, {
      ...weight === undefined ? {} : { weight }, ...cap === undefined ? {} : { cap },
    })
    return 0
  } catch (error) {
    if (!(error instanceof LibxlError)) throw error
    complain(world, error)
    world.err('libxl_domain_sched_params_set failed.\n')
    return 1
  }
}

async function listPools(world: World, libxl: Libxl, only: string | undefined): Promise<number> {
  const pools = (await libxl.cpupools()).filter(({ name }) => only === undefined || name === only)
  if (pools.length === 0) {
    world.err(`unknown cpupool '${only}'\n`)
    return 1
  }
  const domains = await libxl.list()
  for (const { name } of pools) {
    // Zero is how credit2 says that it has no limit.
    world.out(`Cpupool ${name}: ratelimit=0us\n`)
    await listScheduling(world, libxl, domains.filter((domain) => domain.poolName === name))
  }
  return 0
}

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
    name: 'sched-credit2', summary: 'Get/set credit2 scheduler parameters',
    synopsis: '[-d <Domain> [-w[=WEIGHT]]] [-p CPUPOOL]',
    optionsHelp: `-d DOMAIN, --domain=DOMAIN     Domain to modify
-w WEIGHT, --weight=WEIGHT     Weight (int)
-c CAP,    --cap=CAP           Cap (int)
-p CPUPOOL, --cpupool=CPUPOOL  Restrict output to CPUPOOL`,
    globals: 'vtTf',
    options: [
      { key: 'domain', letter: 'd', name: 'domain', value: true },
      { key: 'weight', letter: 'w', name: 'weight', value: true },
      { key: 'cap', letter: 'c', name: 'cap', value: true },
      { key: 'cpupool', letter: 'p', name: 'cpupool', value: true },
    ],
    needs: 0, run: schedCredit2,
  },
]
