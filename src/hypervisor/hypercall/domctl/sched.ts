/**
 * domctl: where a domain's vcpus may run, and what its scheduler knows of it.
 */
import {
  EFAULT, EINVAL, ENOSYS, ESRCH,
} from '../../../abi/xen/errno.ts'
import * as D from '../../../abi/xen/domctl.ts'
import type { ScalarArray } from '../../../base/layout/struct.ts'
import type { Domain } from '../../domain/domain.ts'
import { AFFINITY_WORDS } from '../../domain/state.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import { RTDS_DEFAULTS, setReservation } from '../../sched/rtds.ts'
import { Scheduler } from '../../sched/scheduler.ts'
import { type DomctlView, domctlCommand, getBitmap, putBitmap } from './control.ts'

const MAX_WEIGHT = 65535
const KEEP_CAP = 0xffff

type Bits = ScalarArray<number>

function bitOf(words: Bits, index: number): boolean {
  return index < AFFINITY_WORDS * 32 && (words.get(index >>> 5) >>> (index & 31) & 1) === 1
}

/** A hard affinity that names no core of the domain's pool is refused; a soft one is not. */
function setAffinity(
  caller: Vcpu, words: Bits, map: { bitmap: number, nr_bits: number }, cores?: number,
): number {
  const bytes = getBitmap(caller, map)
  if (!bytes) return -EFAULT
  const word = (i: number): number => {
    let value = 0
    for (let j = 0; j < 4; j++) value |= (bytes[i * 4 + j] ?? 0) << j * 8
    return value >>> 0
  }
  if (cores !== undefined && (word(0) & cores) === 0) return -EINVAL
  for (let i = 0; i < AFFINITY_WORDS; i++) words.set(i, word(i))
  return 0
}

function affinity(caller: Vcpu, domain: Domain, op: DomctlView, set: boolean): number {
  const { flags, cpumap_hard, cpumap_soft } = op.u.vcpuaffinity
  if ((flags & (D.XEN_VCPUAFFINITY_HARD | D.XEN_VCPUAFFINITY_SOFT)) === 0) return -EINVAL
  if (op.u.vcpuaffinity.vcpu >= domain.vcpuCount) return -EINVAL
  const vcpu = domain.vcpu(op.u.vcpuaffinity.vcpu)
  if (!vcpu) return -ESRCH
  const scheduler = Scheduler.of(caller.host)
  const { cores } = scheduler.queues.poolOf(vcpu)
  const { hardAffinity, softAffinity } = vcpu.state
  if (flags & D.XEN_VCPUAFFINITY_HARD) {
    const status = set ? setAffinity(caller, hardAffinity, cpumap_hard, cores) : 0
    if (status < 0) return status
    // A setting is answered cut to what takes effect; a question is answered as it was set.
    const there = (i: number): boolean =>
      bitOf(hardAffinity, i) && (!set || i < 32 && (cores >>> i & 1) === 1)
    if (!putBitmap(caller, cpumap_hard, there)) return -EFAULT
  }
  if (flags & D.XEN_VCPUAFFINITY_SOFT) {
    const status = set ? setAffinity(caller, softAffinity, cpumap_soft) : 0
    if (status < 0) return status
    const allowed = scheduler.queues.allowed(vcpu)
    const there = (i: number): boolean =>
      bitOf(softAffinity, i) && (!set || i < 32 && (allowed >>> i & 1) === 1)
    if (!putBitmap(caller, cpumap_soft, there)) return -EFAULT
  }
  if (set) scheduler.affinityChanged(vcpu)
  return 0
}

/** Weight and cap, as credit and credit2 have them; 0 and 0xffff leave them as they are. */
function setTerms(domain: Domain, { weight, cap }: { weight: number, cap: number }): number {
  const { sched } = domain.state
  if (weight !== 0 && weight <= MAX_WEIGHT) sched.weight = weight
  if (cap !== KEEP_CAP) {
    sched.cap = cap
    sched.budget = 0
    sched.refillAt = domain.host.clock.now()
  }
  Scheduler.of(domain.host).termsChanged(domain)
  return 0
}

type Reservation = DomctlView['u']['scheduler_op']['u']['rtds']

function takeReservation(vcpus: readonly Vcpu[], { period, budget, flags }: Reservation): number {
  const extra = (flags & D.XEN_DOMCTL_SCHEDRT_extra) !== 0
  for (const vcpu of vcpus) {
    const set = Scheduler.of(vcpu.host).exclusively((now) =>
      setReservation(vcpu, { periodUs: period, budgetUs: budget, extra }, now))
    if (!set) return -EINVAL
    Scheduler.of(vcpu.host).termsChanged(vcpu.domain)
  }
  return 0
}

function vcpusOf(domain: Domain): Vcpu[] {
  return Array.from({ length: domain.vcpuCount }, (_, i) => domain.vcpu(i))
    .filter((vcpu) => vcpu !== undefined)
}

function forDomain(domain: Domain, op: DomctlView): number {
  const { sched_id, cmd, u } = op.u.scheduler_op
  const put = cmd === D.XEN_DOMCTL_SCHEDOP_putinfo
  switch (sched_id) {
    case D.XEN_SCHEDULER_CREDIT: case D.XEN_SCHEDULER_CREDIT2:
      if (put) return setTerms(domain, u.credit2)
      u.credit2.weight = domain.state.sched.weight
      u.credit2.cap = domain.state.sched.cap
      return 0
    case D.XEN_SCHEDULER_RTDS:
      if (put) return takeReservation(vcpusOf(domain), u.rtds)
      u.rtds.period = RTDS_DEFAULTS.periodUs
      u.rtds.budget = RTDS_DEFAULTS.budgetUs
      u.rtds.flags = D.XEN_DOMCTL_SCHEDRT_extra
      return 0
    default: return 0
  }
}

const entryBytes = new DataView(new ArrayBuffer(D.DomctlSchedparamVcpu.size))
const entry = D.DomctlSchedparamVcpu.on(entryBytes)

/** The same for single vcpus, which rtds has; `nr_vcpus` becomes how many were done. */
function forVcpus(caller: Vcpu, domain: Domain, op: DomctlView): number {
  const { sched_id, cmd, u } = op.u.scheduler_op
  if (sched_id !== D.XEN_SCHEDULER_RTDS) return -EINVAL
  const { size } = D.DomctlSchedparamVcpu
  const count = Math.min(u.v.nr_vcpus, domain.vcpuCount)
  for (let i = 0; i < count; i++) {
    const at = u.v.vcpus + i * size
    if (!caller.memory.copyIn(entryBytes, at, size)) return -EFAULT
    const vcpu = domain.vcpu(entry.vcpuid)
    if (!vcpu) return -EINVAL
    if (cmd === D.XEN_DOMCTL_SCHEDOP_putvcpuinfo) {
      const status = takeReservation([vcpu], entry.u.rtds)
      if (status < 0) return status
    } else {
      const { period, budget, extra } = vcpu.state.sched.policy.rtds
      entry.u.rtds.period = period / 1e3
      entry.u.rtds.budget = budget / 1e3
      entry.u.rtds.flags = extra !== 0 ? D.XEN_DOMCTL_SCHEDRT_extra : 0
      if (!caller.memory.copyOut(entryBytes, at, size)) return -EFAULT
    }
  }
  u.v.nr_vcpus = count
  return 0
}

export const schedCommands = [
  domctlCommand(D.XEN_DOMCTL_setvcpuaffinity, 'inout',
    function setvcpuaffinity(caller, domain, op) {
      return affinity(caller, domain, op, true)
    }),
  domctlCommand(D.XEN_DOMCTL_getvcpuaffinity, 'inout',
    function getvcpuaffinity(caller, domain, op) {
      return affinity(caller, domain, op, false)
    }),
  domctlCommand(D.XEN_DOMCTL_scheduler_op, 'inout', function scheduler_op(caller, domain, op) {
    const { sched_id, cmd } = op.u.scheduler_op
    const pool = Scheduler.of(caller.host).queues.pools[domain.state.cpupool]
    if (sched_id !== pool?.schedId) return -EINVAL
    switch (cmd) {
      case D.XEN_DOMCTL_SCHEDOP_getinfo: case D.XEN_DOMCTL_SCHEDOP_putinfo:
        return forDomain(domain, op)
      case D.XEN_DOMCTL_SCHEDOP_getvcpuinfo: case D.XEN_DOMCTL_SCHEDOP_putvcpuinfo:
        return forVcpus(caller, domain, op)
      default: return -ENOSYS
    }
  }),
]
