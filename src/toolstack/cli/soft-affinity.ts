/**
 * The warning of libxl that a soft affinity has no effect. Real libxl gives it when it sets the
 * affinity; here whoever had it set asks afterwards.
 */
import { about } from '../domain/error-text.ts'
import type { Libxl } from '../domain/libxl.ts'
import type { World } from './world.ts'

/** Names those of `vcpus`, or of all, that can run on no CPU of their soft affinity. */
export async function warnUnreachable(
  world: World, libxl: Libxl, domid: number, vcpus?: readonly number[],
): Promise<void> {
  const pool = (await libxl.list()).find((domain) => domain.domid === domid)?.poolName
  const cpus = (await libxl.cpupools()).find(({ name }) => name === pool)?.cpus ?? []
  for (const { vcpu, hard, soft } of await libxl.vcpus(domid)) {
    if (vcpus && !vcpus.includes(vcpu)) continue
    if (cpus.some((cpu) => (hard?.includes(cpu) ?? true) && (soft?.includes(cpu) ?? true))) continue
    world.err(`libxl: warning: ${about(domid)}All cpus in soft affinity of vcpu ${vcpu} are ` +
      'unreachable. Only hard affinity will be considered for scheduling\n')
  }
}
