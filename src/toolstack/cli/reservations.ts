/**
 * xl sched-rtds: periods and budgets of VCPUs.
 *
 * Left out: several -v with values of their own in one command line; -v takes one number or "all".
 */
import { type Libxl, LibxlError, type VcpuReservation } from '../domain/libxl.ts'
import type { Command, Invocation } from './command.ts'
import { complain, findDomain, findPool, type World } from './world.ts'

function row(name: string, domid: number, one: VcpuReservation, withVcpu: boolean): string {
  const vcpu = withVcpu ? ` ${String(one.vcpu).padStart(4)}` : ''
  return `${name.padEnd(33)} ${String(domid).padStart(4)}${vcpu} ` +
    `${String(one.periodUs).padStart(9)} ${String(one.budgetUs).padStart(9)} ` +
    `${(one.extra ? 'yes' : 'no').padStart(10)}\n`
}

const header = `${'Name'.padEnd(33)}   ID    Period    Budget  Extratime\n`
const vcpuHeader = `${'Name'.padEnd(33)}   ID VCPU    Period    Budget  Extratime\n`
/** What a domain as a whole is said to have, whatever its VCPUs were given. */
const DEFAULTS: VcpuReservation = { vcpu: 0, periodUs: 10_000, budgetUs: 4_000, extra: true }

function failed(world: World, error: unknown, call: string): number {
  if (!(error instanceof LibxlError)) throw error
  complain(world, error)
  world.err(`${call} failed.\n`)
  return 1
}

async function listPools(world: World, libxl: Libxl, only: string | undefined): Promise<number> {
  const pools = only !== undefined ? [await findPool(world, libxl, only)]
    : (await libxl.cpupools()).filter(({ scheduler }) => scheduler === 'rtds')
  const domains = await libxl.list()
  for (const { name } of pools) {
    world.out(`Cpupool ${name}: sched=RTDS\n${header}`)
    for (const domain of domains.filter(({ poolName }) => poolName === name)) {
      world.out(row(domain.name ?? '(null)', domain.domid, DEFAULTS, false))
    }
  }
  return 0
}

async function show(
  world: World, libxl: Libxl, domid: number, vcpu: string | undefined,
): Promise<number> {
  const name = (await libxl.list()).find((domain) => domain.domid === domid)?.name ?? '(null)'
  world.out(vcpu === undefined ? header : vcpuHeader)
  try {
    if (vcpu === undefined) {
      const actual = await libxl.cpus.schedulerOf(domid)
      if (actual !== 'rtds') {
        world.err(`libxl_domain_sched_params_get returned ${actual} not rtds.\n`)
        return 1
      }
      world.out(row(name, domid, DEFAULTS, false))
      return 0
    }
    for (const one of await libxl.cpus.reservations(domid)) {
      if (vcpu === 'all' || one.vcpu === Number(vcpu)) world.out(row(name, domid, one, true))
    }
    return 0
  } catch (error) {
    const all = vcpu === 'all' ? '_all' : ''
    return failed(world, error, vcpu === undefined
      ? 'libxl_domain_sched_params_get' : `libxl_vcpu_sched_params_get${all}`)
  }
}

async function schedRtds({ world, options }: Invocation): Promise<number> {
  const name = options.get('domain')
  const vcpu = options.get('vcpu')
  const number = (key: string): number | undefined =>
    options.has(key) ? Number.parseInt(options.get(key) ?? '', 10) || 0 : undefined
  const [periodUs, budgetUs, extra] = [number('period'), number('budget'), number('extra')]
  const changing = periodUs !== undefined || budgetUs !== undefined || extra !== undefined
  const wrong = name !== undefined && options.has('cpupool')
    ? 'Specifying a cpupool is not allowed with other options.'
    : name === undefined && (changing || vcpu !== undefined) ? 'Missing parameters.'
      : changing && vcpu === undefined ? 'Must specify VCPU.'
        : changing && (periodUs === undefined || budgetUs === undefined)
          ? 'Must specify period and budget' : undefined
  if (wrong !== undefined) {
    world.err(`${wrong}\n`)
    return 1
  }
  const libxl = await world.machine()
  if (name === undefined) return listPools(world, libxl, options.get('cpupool'))
  const domid = await findDomain(world, libxl, name)
  if (!changing) return show(world, libxl, domid, vcpu)
  try {
    const all = await libxl.cpus.reservations(domid)
    const wanted = vcpu === 'all' ? all : [{ ...DEFAULTS, vcpu: Number(vcpu) || 0 }]
    await libxl.cpus.setReservations(domid, wanted.map((one) => ({
      vcpu: one.vcpu, periodUs: periodUs ?? one.periodUs, budgetUs: budgetUs ?? one.budgetUs,
      extra: extra === undefined ? one.extra : extra !== 0,
    })))
    return 0
  } catch (error) {
    return failed(world, error, `libxl_vcpu_sched_params_set${vcpu === 'all' ? '_all' : ''}`)
  }
}

export const reservationCommand: Command = {
  name: 'sched-rtds', summary: 'Get/set rtds scheduler parameters',
  synopsis: '[-d <Domain> [-v[=VCPUID/all]] [-p[=PERIOD]] [-b[=BUDGET]] [-e[=Extratime]]]',
  optionsHelp: `-d DOMAIN, --domain=DOMAIN     Domain to modify
-v VCPUID/all, --vcpuid=VCPUID/all    VCPU to modify or output;
               Using '-v all' to modify/output all vcpus
-p PERIOD, --period=PERIOD     Period (us)
-b BUDGET, --budget=BUDGET     Budget (us)
-e Extratime, --extratime=Extratime Extratime (1=yes, 0=no)
`,
  globals: 'vtTf',
  options: [
    { key: 'domain', letter: 'd', name: 'domain', value: true },
    { key: 'vcpu', letter: 'v', name: 'vcpuid', value: true },
    { key: 'period', letter: 'p', name: 'period', value: true },
    { key: 'budget', letter: 'b', name: 'budget', value: true },
    { key: 'extra', letter: 'e', name: 'extratime', value: true },
    { key: 'cpupool', letter: 'c', name: 'cpupool', value: true },
  ],
  needs: 0, run: schedRtds,
}
