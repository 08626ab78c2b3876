/**
 * The subcommands that change a running domain: mem-set, mem-max, vcpu-set, sysrq, trigger,
 * button-press; and debug-keys, which changes nothing.
 */
import { ERROR_DOMAIN_NOTFOUND, type Libxl, LibxlError } from '../domain/libxl.ts'
import type { Command, Invocation } from './command.ts'
import { complain, findDomain } from './world.ts'

const MEMORY_SYNOPSIS = '<Domain> <MemMB[\'b\'[bytes]|\'k\'[KB]|\'m\'[MB]|\'g\'[GB]|\'t\'[TB]]>'
const TRIGGERS = ['nmi', 'reset', 'init', 'power', 'sleep', 's3resume']
const SHIFTS: Readonly<Record<string, number>> = { b: -10, k: 0, m: 10, g: 20, t: 30, '': 10 }

/** As much as a machine may be asked for. */
const MOST_KIB = 2 ** 42

/** An amount of memory in KiB; undefined when it is none. */
function memorySize(text: string): number | undefined {
  const match = /^([+-]?\d+)([bkmgt]?)$/i.exec(text)
  const shift = match && SHIFTS[(match[2] ?? '').toLowerCase()]
  return match && shift !== undefined && shift !== null
    ? Math.min(Math.floor(Number(match[1]) * 2 ** shift), MOST_KIB) : undefined
}

/** mem-set and mem-max. */
function memory(
  limit: string, set: (libxl: Libxl, domid: number, kib: number) => Promise<void>,
) {
  return async ({ world, operands }: Invocation): Promise<number> => {
    const [name = '', text = ''] = operands
    const libxl = await world.machine()
    const domid = await findDomain(world, libxl, name)
    const kib = memorySize(text)
    if (kib === undefined || kib < 0) {
      world.err(`invalid memory size: ${text}\n`)
      return 1
    }
    try {
      await set(libxl, domid, kib)
      return 0
    } catch (error) {
      complain(world, error)
      world.err(`cannot set domid ${domid} ${limit} max memory to : ${text}\n`)
      return 1
    }
  }
}

async function sysrq({ world, operands, usage }: Invocation): Promise<number> {
  const [name = '', key = ''] = operands
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  if (key.length !== 1) {
    world.err('Invalid sysrq.\n\n')
    return usage(1)
  }
  await libxl.sendSysrq(domid, key)
  return 0
}

async function trigger({ world, operands }: Invocation): Promise<number> {
  const [name = '', wanted = '', text = '0'] = operands
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  if (!TRIGGERS.includes(wanted)) {
    world.err(`Invalid trigger "${wanted}"\n`)
    return 1
  }
  const vcpu = Number.parseInt(text, 10)
  if (Number.isNaN(vcpu)) world.err('Invalid vcpuid, using default vcpuid=0.\n\n')
  try {
    await libxl.sendTrigger(domid, wanted, vcpu || 0)
  } catch (error) {
    // Real xl says what went wrong and still exits with 0.
    complain(world, error)
  }
  return 0
}

async function buttonPress({ world, operands }: Invocation): Promise<number> {
  const [name = '', button = ''] = operands
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  if (button !== 'power' && button !== 'sleep') {
    world.err(`${button} is an invalid button identifier\n`)
    return 1
  }
  try {
    await libxl.sendTrigger(domid, button, 0)
  } catch (error) {
    complain(world, error)
  }
  return 0
}

async function vcpuSet({ world, operands, options }: Invocation): Promise<number> {
  const [name = '', text = ''] = operands
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  const count = Number.parseInt(text, 10)
  if (!(count >= 0)) {
    world.err('Error: Invalid argument.\n')
    return 1
  }
  if (!options.has('ignore-host')) {
    const { nrCpus } = await libxl.info()
    const domain = (await libxl.list()).find((one) => one.domid === domid)
    // Real xl says nothing.
    if (!domain) return 1
    if (count > domain.onlineVcpus && count > nrCpus) {
      world.err(`You are overcommmitting! You have ${nrCpus} physical CPUs and want ${count} ` +
        'vCPUs! Aborting, use --ignore-host to continue\n')
      return 1
    }
  }
  try {
    await libxl.setOnlineVcpus(domid, count)
    return 0
  } catch (error) {
    const { rc } = complain(world, error)
    world.err(rc === ERROR_DOMAIN_NOTFOUND ? `Domain ${domid} does not exist.\n`
      : `libxl_set_vcpuonline failed domid=${domid} max_vcpus=${count}, rc: ${rc}\n`)
    return 1
  }
}

async function debugKeys({ world, operands }: Invocation): Promise<number> {
  const libxl = await world.machine()
  try {
    await libxl.sendDebugKeys(operands[0] ?? '')
    return 0
  } catch (error) {
    if (!(error instanceof LibxlError)) throw error
    world.err(`cannot send debug keys: ${operands[0]}\n`)
    return 1
  }
}

export const tuningCommands: readonly Command[] = [
  {
    name: 'mem-max', summary: 'Set the maximum amount reservation for a domain',
    synopsis: MEMORY_SYNOPSIS, globals: 'vtTf', options: [], needs: 2,
    run: memory('static', (libxl, domid, kib) => libxl.setMaxMemory(domid, kib)),
  },
  {
    name: 'mem-set', summary: 'Set the current memory usage for a domain',
    synopsis: MEMORY_SYNOPSIS, globals: 'vtTf', options: [], needs: 2,
    run: memory('dynamic', (libxl, domid, kib) => libxl.setMemoryTarget(domid, kib)),
  },
  {
    name: 'vcpu-set', summary: 'Set the number of active VCPUs allowed for the domain',
    synopsis: '[option] <Domain> <vCPUs>',
    optionsHelp: '-i, --ignore-host  Don\'t limit the vCPU based on the host CPU count',
    globals: 'vtTf', options: [{ key: 'ignore-host', letter: 'i', name: 'ignore-host' }], needs: 2,
    run: vcpuSet,
  },
  {
    name: 'trigger', summary: 'Send a trigger to a domain',
    synopsis: '<Domain> <nmi|reset|init|power|sleep|s3resume> [<VCPU>]',
    globals: 'vtTf', options: [], needs: 2, run: trigger,
  },
  {
    name: 'button-press', summary: 'Indicate an ACPI button press to the domain',
    synopsis: '<Domain> <Button>', optionsHelp: '<Button> may be \'power\' or \'sleep\'.',
    globals: 'vtTf', options: [], needs: 2, run: buttonPress,
    warning: 'WARNING: "button-press" is deprecated. Please use "trigger"\n',
  },
  {
    name: 'sysrq', summary: 'Send a sysrq to a domain', synopsis: '<Domain> <letter>',
    globals: 'vtTf', options: [], needs: 2, run: sysrq,
  },
  {
    name: 'debug-keys', summary: 'Send debug keys to Xen', synopsis: '<Keys>',
    globals: 'vtTf', options: [], needs: 1, run: debugKeys,
  },
]
