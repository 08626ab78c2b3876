/**
 * Xen's command line as far as it concerns scheduling: xen's docs/misc/xen-command-line.pandoc.
 */
import { RUNQUEUE_KINDS, type RunqueueKind } from './credit2.ts'

export interface SchedOptions {
  /** The policy of Pool-0 and of pools that ask for none. */
  readonly policy: string
  readonly runqueue: RunqueueKind
  readonly ratelimitUs: number | undefined
  readonly creditSliceMs: number | undefined
}

/** Unknown values read as if the option were not there, as in Xen. */
export function schedOptions(commandLine: string): SchedOptions {
  const values = new Map<string, string>()
  for (const word of commandLine.split(/\s+/)) {
    const [name = '', ...rest] = word.split('=')
    values.set(name, rest.join('='))
  }
  const number = (name: string, least: number, most: number): number | undefined => {
    const value = Number(values.get(name) || NaN)
    return Number.isInteger(value) && value >= least && value <= most ? value : undefined
  }
  const kind = values.get('credit2_runqueue')
  return {
    policy: values.get('sched') ?? 'credit2',
    runqueue: RUNQUEUE_KINDS.find((known) => known === kind) ?? 'socket',
    ratelimitUs: number('sched_ratelimit_us', 0, 500_000),
    creditSliceMs: number('sched_credit_tslice_ms', 1, 1000),
  }
}
