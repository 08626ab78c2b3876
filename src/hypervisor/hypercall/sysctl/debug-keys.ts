/**
 * Debug keys (XEN_SYSCTL_debug_keys): what the hypervisor says of its state in its log when one is
 * pressed, in the lines of Xen's own.
 *
 * There are the keys for domains, event channels, grant tables and run queues. Not shown is what is
 * not here: reference counts, rangesets, pages' types, loads of single vcpus.
 */
import { VIRQ_DEBUG } from '../../../abi/xen/xen.ts'
import type { Domain } from '../../domain/domain.ts'
import { VPF_polling } from '../../domain/state.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import { Events } from '../../events/events.ts'
import { PORT, PortState } from '../../events/state.ts'
import { upcallPending } from '../../events/upcall.ts'
import { Grants } from '../../grants/grants.ts'
import type { Host } from '../../host/host.ts'
import { Scheduler } from '../../sched/scheduler.ts'

interface DebugKey {
  readonly key: string
  readonly what: string
  press(host: Host, print: (line: string) => void): void
}

const keys: readonly DebugKey[] = [
  { key: 'e', what: 'dump evtchn info', press: dumpEvents },
  { key: 'g', what: 'print grant table usage', press: dumpGrants },
  { key: 'h', what: 'show this message', press: showKeys },
  { key: 'q', what: 'dump domain (and guest debug) info', press: dumpDomains },
  { key: 'r', what: 'dump run queues', press: dumpRunQueues },
]

/** A key without a meaning has no effect. */
export function pressKey(host: Host, key: string): void {
  keys.find((one) => one.key === key)?.press(host, (line) => host.console.print(line))
}

function showKeys(_host: Host, print: (line: string) => void): void {
  print("'h' pressed -> showing installed handlers")
  for (const { key, what } of keys) {
    print(` key '${key}' (ascii '${key.charCodeAt(0).toString(16)}') => ${what}`)
  }
}

function* domainsOf(host: Host): Generator<Domain> {
  for (let one = host.nextDomain(0); one; one = host.nextDomain(one.id + 1)) yield one
}

function* vcpusOf(domain: Domain): Generator<Vcpu> {
  for (let i = 0; i < domain.vcpuCount; i++) {
    const vcpu = domain.vcpu(i)
    if (vcpu) yield vcpu
  }
}

/** Set bits of words as Xen prints them: `{0-1,4}`. */
function setOf(words: readonly number[], count: number): string {
  const has = (i: number): boolean => ((words[i >>> 5] ?? 0) >>> (i & 31) & 1) === 1
  const ranges: string[] = []
  for (let i = 0; i < count; i++) {
    if (!has(i)) continue
    const first = i
    while (i + 1 < count && has(i + 1)) i++
    ranges.push(first === i ? `${i}` : `${first}-${i}`)
  }
  return `{${ranges.join(',')}}`
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}

function dumpDomains(host: Host, print: (line: string) => void): void {
  print(`'q' pressed -> dumping domain info (now = ${Math.round(host.clock.now())})`)
  const cores = host.state.coreCount
  for (const domain of domainsOf(host)) {
    const { state } = domain
    print(`General information for domain ${domain.id}:`)
    print(`    pause_count=${state.pauseCount} shutdown=${state.shutdown}`)
    print(`    nr_pages=${state.totPages} max_pages=${state.maxPages} ` +
      `p2m_frames=${state.p2mFrames} superpages=${domain.p2m.superpages}`)
    print(`NODE affinity for domain ${domain.id}: ` +
      `[${setOf([state.nodeAffinity], host.state.nodeCount).slice(1, -1)}]`)
    print(`VCPU information and callbacks for domain ${domain.id}:`)
    for (const vcpu of vcpusOf(domain)) {
      const { core, running, flags, pauseCount, hardAffinity, softAffinity } = vcpu.state
      print(`  UNIT${vcpu.id} affinities: hard=${setOf([hardAffinity.get(0)], cores)} ` +
        `soft=${setOf([softAffinity.get(0)], cores)}`)
      print(`    VCPU${vcpu.id}: CPU${core} [has=${running !== 0 ? 'T' : 'F'}] ` +
        `poll=${flags & VPF_polling ? 1 : 0} upcall_pend=${upcallPending(vcpu) ? '01' : '00'}`)
      print(`    pause_count=${pauseCount} pause_flags=${flags.toString(16)}`)
    }
  }
  for (const domain of domainsOf(host)) {
    if (domain.isControl) continue
    for (const vcpu of vcpusOf(domain)) {
      print(`Notifying guest ${domain.id}:${vcpu.id} (virq ${VIRQ_DEBUG})`)
      host.services.events.sendVcpuVirq(vcpu, VIRQ_DEBUG)
    }
  }
}

/** Of a port's state the number that Xen has for it. */
const STATES = new Map<number, number>([
  [PORT.reserved, 1], [PORT.unbound, 2], [PORT.interdomain, 3], [PORT.virq, 5], [PORT.ipi, 6],
])

function dumpEvents(host: Host, print: (line: string) => void): void {
  const events = Events.of(host)
  const port = PortState.on(host.hypervisor.buffer)
  print("'e' pressed -> dumping event-channel info")
  for (const domain of domainsOf(host)) {
    const polling = [...vcpusOf(domain)].filter(({ state }) => state.flags & VPF_polling)
    print(`Event channel information for domain ${domain.id}:`)
    print(`Polling vCPUs: {${polling.map(({ id }) => id).join(',')}}`)
    print('    port [p/m/s]')
    events.lock(domain)
    const isFifo = events.ports.count(domain) > 0 && events.ports.stateOf(domain).fifo !== 0
    for (let i = 1; events.ports.find(domain, i, port); i++) {
      const state = STATES.get(port.state)
      if (state === undefined) continue
      const link = isFifo ? events.fifo.linkOf(domain, i) : -1
      const bits = `${Number(events.isPending(domain, i))}/${Number(events.isMasked(domain, i))}/`
      const to = port.state === PORT.unbound ? ` d=${port.remoteDomid}`
        : port.state === PORT.interdomain ? ` d=${port.remoteDomid} p=${port.remotePort}`
          : port.state === PORT.virq ? ` v=${port.virq}` : ''
      print(`    ${`${i}`.padStart(4)} [${bits}  ${(link < 0 ? '-' : `${link}`).padEnd(4)}]: ` +
        `s=${state} n=${port.vcpu} x=0${to}`)
    }
    events.unlock(domain)
  }
}

function dumpGrants(host: Host, print: (line: string) => void): void {
  const grants = Grants.of(host)
  print("gnttab_usage_print_all [ key 'g' pressed")
  for (const domain of domainsOf(host)) {
    print('      -------- active --------       -------- shared --------')
    print('[ref] localdom mfn      pin          localdom gmfn     flags')
    print(`grant-table for remote d${domain.id} (v1)`)
    grants.lock(domain)
    const frames = grants.tableFrameCount(domain, false)
    const handles = domain.state.grantsAt === 0 ? 0 : grants.stateOf(domain).handleFrames
    print(`  ${frames} frames (${grants.limitOf(domain)} max), ` +
      `${handles} maptrack frames (${domain.state.maxMaptrackFrames} max)`)
    let count = 0
    for (const { ref, domid, mfn, readers, writers, told, gfn, flags } of grants.uses(domain)) {
      count++
      print(`[0x${hex(ref, 3)}]  ${`${domid}`.padStart(5)} 0x${hex(mfn, 5)} ` +
        `0x${hex(Math.min(readers, 255) << 8 | Math.min(writers, 255), 8)}      ` +
        `${`${told}`.padStart(5)} 0x${hex(gfn, 6)} 0x${hex(flags, 2)}`)
    }
    if (count === 0) print('no active grant table entries')
    grants.unlock(domain)
  }
  print('gnttab_usage_print_all ] done')
}

function dumpRunQueues(host: Host, print: (line: string) => void): void {
  const { coreCount } = host.state
  const scheduler = Scheduler.of(host)
  const { queues, policies } = scheduler
  const name = (vcpu: Vcpu): string => `[${vcpu.domain.id}.${vcpu.id}] cpu=${vcpu.state.core}`
  scheduler.exclusively((now) => {
    print(`NOW=${Math.round(now)}`)
    for (const [id, pool] of queues.pools.entries()) {
      if (pool.exists === 0) continue
      print(`Cpupool ${id}:`)
      print(`Cpus: ${setOf([pool.cores], coreCount).slice(1, -1)}`)
      print(`Scheduler: ${policies.find((policy) => policy.id === pool.schedId)?.name ?? '?'}`)
      print('Domain info:')
      for (const domain of domainsOf(host)) {
        if (domain.isControl || domain.state.cpupool !== id) continue
        const { weight, cap } = domain.state.sched
        print(`\tDomain: ${domain.id} w ${weight} c ${cap} v ${domain.vcpuCount}`)
        for (const vcpu of vcpusOf(domain)) {
          const { cpuTimeNs, flags } = vcpu.state
          print(`\t  ${name(vcpu)} flags=${flags.toString(16)} time=${Math.round(cpuTimeNs)}`)
        }
      }
      for (let core = 0; core < coreCount; core++) {
        if ((pool.cores >>> core & 1) === 0) continue
        const runs = queues.vcpuAt(host.core(core).currentVcpu)
        print(`CPU[${hex(core, 2)}] runq=${queues.cores[core]!.queue} ` +
          `run: ${runs ? name(runs) : 'idle'}`)
      }
      for (const [slot, queue] of queues.queues.entries()) {
        if ((queue.cores & pool.cores) === 0) continue
        print(`RUNQ ${slot}: ${queue.length} waiting`)
        for (const vcpu of queues.waiting(slot)) print(`\t  ${name(vcpu)}`)
      }
    }
  })
}
