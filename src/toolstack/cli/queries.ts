/**
 * The subcommands that only look: list, vm-list, info, dmesg, domid, domname, uptime, vcpu-list,
 * claims, sharing, cpupool-list.
 */
import { about } from '../domain/error-text.ts'
import type { DomainSummary } from '../domain/libxl.ts'
import {
  claimsTable, cpupoolTable, listTable, sharingTable, uptimeHeader, uptimeRow, vcpuHeader, vcpuRows,
  vmTable,
} from './columns.ts'
import {
  type Command, type Invocation, jsonHelp, jsonOption, jsonText, Listing,
} from './command.ts'
import { listJson } from './config-json.ts'
import { infoField, infoText } from './info-text.ts'
import { complain, findDomain } from './world.ts'

async function list(invocation: Invocation): Promise<number> {
  const { world, options, operands } = invocation
  if (operands.length > 1) return invocation.usage(1)
  const libxl = await world.machine()
  let domains = await libxl.list()
  const [name] = operands
  if (name !== undefined) {
    const domid = await findDomain(world, libxl, name)
    domains = domains.filter((domain) => domain.domid === domid)
    if (domains.length === 0) {
      world.err(`Error: Domain '${name}' does not exist.\n`)
      return 1
    }
  }
  if (options.has('long')) {
    const items = domains.map(async (summary) =>
      ({ summary, spec: await libxl.spec(summary.domid) }))
    world.out(listJson(await Promise.all(items)))
    return 0
  }
  if (options.has('json')) {
    world.out(jsonText(domains))
    return 0
  }
  world.out(listTable(domains, {
    verbose: options.has('verbose'), context: options.has('context'),
    cpupool: options.has('cpupool'), numa: options.has('numa'),
  }))
  return 0
}

async function vmList({ world }: Invocation): Promise<number> {
  const libxl = await world.machine()
  world.out(vmTable(await libxl.list()))
  return 0
}

async function claims({ world }: Invocation): Promise<number> {
  const libxl = await world.machine()
  world.out(claimsTable(await libxl.list()))
  return 0
}

async function sharing({ world, operands }: Invocation): Promise<number> {
  const libxl = await world.machine()
  const [name] = operands
  const domid = name === undefined ? undefined : await findDomain(world, libxl, name)
  const all = await libxl.list()
  const domains = all.filter((domain) => domid === undefined || domain.domid === domid)
  if (domains.length === 0) {
    world.err(`Error: Domain '${name}' does not exist.\n`)
    return 1
  }
  world.out(sharingTable(domains))
  return 0
}

async function cpupoolList({ world, options, operands }: Invocation): Promise<number> {
  const libxl = await world.machine()
  const [name] = operands
  const all = await libxl.cpupools()
  // Real xl takes no number here.
  const pools = all.filter((pool) => name === undefined || pool.name === name)
  if (pools.length === 0) {
    world.err(`Pool '${name}' does not exist\n`)
    return 1
  }
  world.out(options.has('json') ? jsonText(pools) : cpupoolTable(pools, options.has('cpus')))
  return 0
}

async function info({ world, options, operands }: Invocation): Promise<number> {
  const libxl = await world.machine()
  const numa = options.has('numa')
  const known = await libxl.info()
  if (options.has('json')) {
    world.out(jsonText({ ...world.uname(), ...known }))
    return 0
  }
  const text = infoText(known, world.uname(), numa)
  const [name] = operands
  world.out(name === undefined || numa ? text : infoField(text, name))
  return 0
}

async function dmesg({ world, options }: Invocation): Promise<number> {
  const libxl = await world.machine()
  world.out(await libxl.readLog(options.has('clear')))
  return 0
}

async function domid({ world, operands }: Invocation): Promise<number> {
  const libxl = await world.machine()
  const [name = ''] = operands
  const found = (await libxl.list()).find((domain) => domain.name === name)
  if (!found) {
    world.err(`Can't get domid of domain name '${name}', maybe this domain does not exist.\n`)
    return 1
  }
  world.out(`${found.domid}\n`)
  return 0
}

async function domname(invocation: Invocation): Promise<number> {
  const { world, operands } = invocation
  const id = Number.parseInt(operands[0] ?? '', 10)
  if (Number.isNaN(id)) {
    world.err('Invalid domain id.\n\n')
    return 1
  }
  const libxl = await world.machine()
  const found = (await libxl.list()).find((domain) => domain.domid === id)
  if (found?.name === undefined) {
    world.err(`Can't get domain name of domain id '${id}', maybe this domain does not exist.\n`)
    return 1
  }
  world.out(`${found.name}\n`)
  return 0
}

/** The domains that operands name, in their order; all without operands. */
async function* chosen(
  { world, operands }: Invocation,
): AsyncGenerator<{ domid: number, summary: DomainSummary | undefined }> {
  const libxl = await world.machine()
  const all = await libxl.list()
  if (operands.length === 0) for (const summary of all) yield { domid: summary.domid, summary }
  // Those before a name that is no domain's are shown.
  for (const operand of operands) {
    const domid = await findDomain(world, libxl, operand)
    yield { domid, summary: all.find((domain) => domain.domid === domid) }
  }
}

async function uptime(invocation: Invocation): Promise<number> {
  const { world, options } = invocation
  const short = options.has('short')
  const domains = []
  for await (const domain of chosen(invocation)) domains.push(domain)
  if (!short) world.out(uptimeHeader)
  for (const { domid: id, summary } of domains) {
    if (summary) world.out(uptimeRow(summary, world.now(), short))
    else world.err(`libxl: error: ${about(id)}Can't get start time of domain\n`)
  }
  return 0
}

async function vcpuList(invocation: Invocation): Promise<number> {
  const { world } = invocation
  const libxl = await world.machine()
  // Before it looks whether there are such domains, as real xl does.
  const listing = new Listing(invocation, vcpuHeader)
  for await (const { domid: id, summary } of chosen(invocation)) {
    try {
      const vcpus = await libxl.vcpus(id)
      listing.add(vcpus.map((vcpu) => ({ domid: id, ...vcpu })),
        () => summary ? vcpuRows(summary, vcpus) : '')
    } catch (error) {
      complain(world, error)
    }
  }
  listing.end()
  return 0
}

export const queryCommands: readonly Command[] = [
  {
    name: 'list', summary: 'List information about all/some domains',
    synopsis: '[options] [Domain]\n',
    optionsHelp: `-l, --long              Output all VM details
-v, --verbose           Prints out UUIDs and security context
-Z, --context           Prints out security context
-c, --cpupool           Prints the cpupool the domain is in
-n, --numa              Prints out NUMA node affinity
${jsonHelp}`,
    globals: 'vtT',
    options: [
      { key: 'long', letter: 'l', name: 'long' }, { key: 'verbose', letter: 'v', name: 'verbose' },
      { key: 'context', letter: 'Z', name: 'context' },
      { key: 'cpupool', letter: 'c', name: 'cpupool' }, { key: 'numa', letter: 'n', name: 'numa' },
      jsonOption,
    ],
    needs: 0, run: list,
  },
  {
    name: 'info', summary: 'Get information about Xen host',
    synopsis: '-n, --numa         List host NUMA topology information', optionsHelp: jsonHelp,
    globals: 'vtT', options: [{ key: 'numa', letter: 'n', name: 'numa' }, jsonOption], needs: 0,
    run: info,
  },
  {
    name: 'dmesg', summary: 'Read and/or clear dmesg buffer', synopsis: '[-c]',
    optionsHelp: '  -c                        Clear dmesg buffer as well as printing it',
    globals: 'vtT', options: [{ key: 'clear', letter: 'c' }], needs: 0, run: dmesg,
  },
  {
    name: 'domid', summary: 'Convert a domain name to domain id', synopsis: '<DomainName>',
    globals: 'vtT', options: [], needs: 1, run: domid,
  },
  {
    name: 'domname', summary: 'Convert a domain id to domain name', synopsis: '<DomainId>',
    globals: 'vtT', options: [], needs: 1, run: domname,
  },
  {
    name: 'uptime', summary: 'Print uptime for all/some domains', synopsis: '[-s] [Domain]',
    globals: 'vtT', options: [{ key: 'short', letter: 's' }], needs: 0, run: uptime,
  },
  {
    name: 'vm-list', summary: 'List guest domains, excluding dom0, stubdoms, etc.',
    synopsis: '', globals: 'vtT', options: [], needs: 0, run: vmList,
  },
  {
    name: 'claims', summary: 'List outstanding claim information about all domains',
    synopsis: '', optionsHelp: '', globals: 'vtT', options: [], needs: 0, run: claims,
  },
  {
    name: 'sharing', summary: 'Get information about page sharing', synopsis: '[Domain]',
    globals: 'vtT', options: [], needs: 0, run: sharing,
  },
  {
    name: 'cpupool-list', summary: 'List CPU pools on host',
    synopsis: '[-c|--cpus] [<CPU Pool>]',
    optionsHelp: `-c, --cpus                     Output list of CPUs used by a pool\n${jsonHelp}`,
    globals: 'vtT', options: [{ key: 'cpus', letter: 'c', name: 'cpus' }, jsonOption], needs: 0,
    run: cpupoolList,
  },
  {
    name: 'vcpu-list', summary: 'List the VCPUs for all/some domains', synopsis: '[Domain, ...]',
    optionsHelp: jsonHelp, globals: 'vtT', options: [jsonOption], needs: 0, run: vcpuList,
  },
]
