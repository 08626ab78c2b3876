/**
 * A domain's configuration as JSON, in the shape of libxl's own (`xl list -l`, `xl create -n`).
 */
import { TSC_MODES } from '../config/domain.ts'
import type { DomainSpec, DomainSummary } from '../domain/libxl.ts'

type Json = string | number | readonly Json[] | { readonly [key: string]: Json }

/** libxl's generator puts an empty line into empty objects. */
function pretty(value: Json, indent: string): string {
  if (typeof value !== 'object') return JSON.stringify(value)
  const inner = `${indent}    `
  if (Array.isArray(value)) {
    const items = value.map((item: Json) => `${inner}${pretty(item, inner)}`)
    return `[\n${items.join(',\n')}\n${indent}]`
  }
  const items = Object.entries(value as { readonly [key: string]: Json })
    .map(([key, item]) => `${inner}${JSON.stringify(key)}: ${pretty(item, inner)}`)
  return `{\n${items.join(',\n')}\n${indent}}`
}

/** libxl's names of actions. */
function actionName(action: string): string {
  return action.replaceAll('-', '_')
}

function configOf(spec: DomainSpec, uuid: string | undefined, created: boolean): Json {
  const actions: { [key: string]: Json } = {}
  // libxl leaves out what has its type's first value, "destroy".
  const list: [string, string][] = [
    ['on_poweroff', spec.onPoweroff], ['on_reboot', spec.onReboot],
    ['on_watchdog', spec.onWatchdog], ['on_crash', spec.onCrash],
    ['on_soft_reset', spec.onSoftReset],
  ]
  for (const [key, action] of list) {
    if (action !== 'destroy') actions[key] = actionName(action)
  }
  const scheduling: Json = created ? { sched: 'credit2', weight: 256, cap: 0 } : {}
  return {
    c_info: {
      type: spec.type,
      name: spec.name,
      ...created ? { domid: 4294967295 } : {},
      ...uuid === undefined ? {} : { uuid },
      run_hotplug_scripts: 'True',
    },
    b_info: {
      max_vcpus: spec.maxVcpus,
      avail_vcpus: Array.from({ length: spec.vcpus }, (_, vcpu) => vcpu),
      ...spec.tscMode === 0 ? {} : { tsc_mode: TSC_MODES[spec.tscMode] ?? spec.tscMode },
      max_memkb: spec.maxMemoryKib,
      target_memkb: spec.memoryKib,
      ...created ? { video_memkb: 0 } : {},
      sched_params: scheduling,
      claim_mode: 'True',
      kernel: spec.kernel,
      cmdline: spec.commandLine,
      ...spec.ramdisk === undefined ? {} : { ramdisk: spec.ramdisk },
      'type.pvh': {},
      arch_arm: {},
      arch_x86: created ? { msr_relaxed: 'False' } : {},
    },
    ...actions,
  }
}

/** What `xl create -n` prints. */
export function createJson(spec: DomainSpec): string {
  return `${pretty(configOf(spec, spec.uuid, false), '')}\n`
}

/** What `xl list -l` prints; a domain without a specification is the control domain. */
export function listJson(
  domains: readonly { readonly summary: DomainSummary, readonly spec: DomainSpec | undefined }[],
): string {
  const items = domains.map(({ summary, spec }) => ({
    domid: summary.domid,
    config: spec ? configOf(spec, summary.uuid, true) : controlDomain(summary),
  }))
  return `${pretty(items, '')}\n\n`
}

function controlDomain(summary: DomainSummary): Json {
  return {
    c_info: { type: 'pv', name: summary.name ?? '' },
    b_info: {
      max_memkb: summary.memoryKib,
      target_memkb: summary.memoryKib,
      sched_params: { sched: 'credit2', weight: 256, cap: 0 },
      'type.pv': {},
      arch_arm: {},
      arch_x86: {},
    },
  }
}
