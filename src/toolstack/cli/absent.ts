/**
 * Subcommands for what domains cannot have here: devices of other kinds, moving to other hosts,
 * policies, parts of the hardware.
 *
 * What asks for them is answered as real xl 4.17 answers on a machine that has none: lists are
 * empty, nothing is found to be detached, hardware is not there. What would make one is refused,
 * and says what is missing.
 */
import type { Command, Invocation } from './command.ts'
import type { Option } from './getopt.ts'
import { findDomain, type World } from './world.ts'

/** How a list that stays empty looks. */
interface EmptyList {
  readonly name: string
  readonly summary: string
  readonly synopsis: string
  readonly header: string
  readonly options?: readonly Option[]
  readonly optionsHelp?: string
  /** A name that is no domain's is passed over, once it was said. */
  readonly tolerant: boolean
  readonly needs: number
}

const LISTS: readonly EmptyList[] = [
  {
    name: 'vtpm-list', summary: 'List virtual TPM devices for a domain',
    synopsis: '<Domain(s)>', tolerant: true, needs: 1,
    header: `Idx BE ${'Uuid'.padEnd(36)} handle state evt-ch ring-ref BE-path   \n`,
  },
  {
    name: 'vkb-list', summary: 'List virtual keyboard devices for a domain',
    synopsis: '<Domain(s)>', tolerant: false, needs: 1,
    header: `Idx BE handle state evt-ch    ref ${'ID'.padEnd(10)} BE-type    ` +
      `${'BE-path'.padEnd(30)}\n`,
  },
  {
    name: 'vdispl-list', summary: 'List virtual display devices for a domain',
    synopsis: '<Domain(s)>', tolerant: true, needs: 1, header: '',
  },
  {
    name: 'vsnd-list', summary: 'List virtual display devices for a domain',
    synopsis: '<Domain(s)>', tolerant: true, needs: 1, header: '',
  },
  {
    name: 'usb-list',
    summary: 'List information about all USB controllers and devices for a domain',
    synopsis: '<Domain>', tolerant: false, needs: 1, header: '',
  },
  {
    name: 'pci-list', summary: 'List pass-through pci devices for a domain',
    synopsis: '<Domain>', tolerant: false, needs: 1, header: '',
  },
  {
    name: 'pci-assignable-list', summary: 'List all the assignable pci devices',
    synopsis: '[options]', tolerant: false, needs: 0, header: '',
    options: [{ key: 'show-names', letter: 'n', name: 'show-names' }],
    optionsHelp: `-h                      Print this help.
-n, --show-names        Display assignable device names where
                        supplied.\n`,
  },
]

async function isDomain(world: World, name: string): Promise<boolean> {
  const domains = await (await world.machine()).list()
  return /^\d+$/.test(name) || domains.some((domain) => domain.name === name)
}

function emptyList({ header, tolerant, needs, ...words }: EmptyList): Command {
  return {
    globals: 'vtT', options: [], ...words, needs,
    run: async ({ world, operands }: Invocation): Promise<number> => {
      world.out(header)
      for (const name of needs > 0 ? operands : []) {
        if (!tolerant) await findDomain(world, await world.machine(), name)
        else if (!await isDomain(world, name)) {
          world.err(`${name} is an invalid domain identifier\n`)
        }
      }
      return 0
    },
  }
}

/** What is always answered the same. */
interface FixedAnswer {
  readonly name: string
  readonly summary: string
  readonly synopsis: string
  readonly needs: number
  readonly options?: readonly Option[]
  readonly optionsHelp?: string
  readonly out?: string
  readonly err?: string
  readonly code: number
  /** What its first operand must be; others are answered with the usage. */
  readonly first?: RegExp
}

const ANSWERS: readonly FixedAnswer[] = [
  {
    name: 'getenforce', needs: 0, synopsis: '',
    summary: 'Returns the current enforcing mode of the Flask Xen security module',
    out: 'Flask XSM Disabled\n', code: 255,
  },
  {
    name: 'setenforce', needs: 0, synopsis: '<1|0|Enforcing|Permissive>',
    summary: 'Sets the current enforcing mode of the Flask Xen security module',
    err: 'Flask XSM disabled\n', code: 255, first: /^(1|0|enforcing|permissive)$/i,
  },
  {
    name: 'psr-hwinfo', needs: 0, synopsis: '[options]',
    summary: 'Show hardware information for Platform Shared Resource',
    options: [
      { key: 'cmt', letter: 'm', name: 'cmt' }, { key: 'cat', letter: 'a', name: 'cat' },
      { key: 'mba', letter: 'b', name: 'mba' },
    ],
    optionsHelp: `-m, --cmt       Show Cache Monitoring Technology (CMT) hardware info
-a, --cat       Show Cache Allocation Technology (CAT) hardware info
-b, --mba       Show Memory Bandwidth Allocation (MBA) hardware info\n`,
    out: `Cache Monitoring Technology (CMT):\n${'Enabled'.padEnd(16)}: 0\n`, code: 253,
  },
  {
    name: 'psr-cmt-show', needs: 1, synopsis: '<PSR-CMT-Type> <Domain>',
    summary: 'Show Cache Monitoring Technology information',
    optionsHelp: `Available monitor types:
"cache-occupancy":         Show L3 cache occupancy(KB)
"total-mem-bandwidth":     Show total memory bandwidth(KB/s)
"local-mem-bandwidth":     Show local memory bandwidth(KB/s)\n`,
    err: 'CMT is disabled in the system\n', code: 255,
    first: /^(cache-occupancy|total-mem-bandwidth|local-mem-bandwidth)$/,
  },
  {
    name: 'psr-cat-show', needs: 0, synopsis: '[options] <Domain>',
    summary: 'Show Cache Allocation Technology information', err: 'Failed to get info\n', code: 253,
    options: [{ key: 'level', letter: 'l', value: true }],
    optionsHelp:
      '-l <level>        Specify the cache level to process, otherwise L3 cache is processed\n',
  },
  {
    name: 'psr-mba-show', needs: 0, synopsis: '<Domain>',
    summary: 'Show Memory Bandwidth Allocation information', err: 'Failed to get info\n', code: 253,
  },
]

function fixedAnswer({ out, err, code, first, ...words }: FixedAnswer): Command {
  return {
    globals: words.name === 'getenforce' ? 'vtT' : 'vtTf', options: [], ...words,
    run: async ({ world, operands, usage }: Invocation): Promise<number> => {
      if (first && !first.test(operands[0] ?? '')) return usage(2)
      world.out(out ?? '')
      world.err(err ?? '')
      return code
    },
  }
}

async function loadPolicy({ world, operands: [path], usage }: Invocation): Promise<number> {
  if (path === undefined) return usage(2)
  try {
    await world.readText(path)
    world.err('Flask XSM disabled\n')
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    world.err(`Error occurred opening policy file '${path}': ${why}\n`)
  }
  return 255
}

/** Of the parameters that Xen has while it runs there is none here. */
async function setParameters({ world, operands: [text] }: Invocation): Promise<number> {
  world.err('libxl: error: setting parameters: No such file or directory\n' +
    `cannot set parameters: ${text}\n`)
  return 1
}

export const absentCommands: readonly Command[] = [
  ...LISTS.map(emptyList), ...ANSWERS.map(fixedAnswer),
  {
    name: 'loadpolicy', summary: 'Loads a new policy into the Flask Xen security module',
    synopsis: '<policy file>', globals: 'vtTf', options: [], needs: 0, run: loadPolicy,
  },
  {
    name: 'set-parameters', summary: 'Set hypervisor parameters', synopsis: '<Params>',
    globals: 'vtTf', options: [], needs: 1, run: setParameters,
  },
]

/** Why each of the others cannot be done. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/^(save|restore|migrate|migrate-receive|remus)$/, 'domains cannot be saved or moved'],
  [/^pci-/, 'there are no PCI devices to pass through'],
  [/^vtpm-/, 'there are no vTPMs'],
  [/^vkb-/, 'there are no virtual keyboards'],
  [/^vdispl-/, 'there are no virtual displays'],
  [/^vsnd-/, 'there are no virtual sound cards'],
  [/^usb/, 'there are no USB controllers and devices'],
  [/^vncviewer$/, 'domains have no VNC displays'],
  [/^qemu-monitor-command$/, 'domains have no device model'],
  [/^psr-/, 'the emulated processor has no Platform Shared Resource features'],
]

/** Why a subcommand of real xl's is not implemented. */
export function reasonFor(name: string): string {
  return REASONS.find(([pattern]) => pattern.test(name))?.[1] ?? 'it is not implemented'
}
