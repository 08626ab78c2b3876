/**
 * HYPERVISOR_sysctl: what control tools ask of the host (xen/include/public/sysctl.h, 0x15).
 *
 * Each NUMA node is a socket. Left out, -ENOSYS: tracing, power management, topology of PCI, CPU
 * policies.
 */
import { EACCES, EFAULT, ENOSYS } from '../../../abi/xen/errno.ts'
import { DomctlGetdomaininfo } from '../../../abi/xen/domctl.ts'
import * as S from '../../../abi/xen/sysctl.ts'
import { __HYPERVISOR_sysctl } from '../../../abi/xen/xen.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import type { Host } from '../../host/host.ts'
import type { HypercallArgs } from '../args.ts'
import { type SysctlCommand, sysctlCommand, type SysctlView } from '../domctl/control.ts'
import { fillInfo } from '../domctl/info.ts'
import { columns, type Hypercall, type Status } from '../operation.ts'
import { pressKey } from './debug-keys.ts'
import { hotplugCommands } from './hotplug.ts'
import { schedCommands } from './sched.ts'

const CAPABILITIES = S.XEN_SYSCTL_PHYSCAP_hvm | S.XEN_SYSCTL_PHYSCAP_hap
  | S.XEN_SYSCTL_PHYSCAP_gnttab_v1

/** The node of each core that is online. */
function onlineCores(host: Host): number[] {
  return [...new Array(host.state.coreCount).keys()].flatMap((core) => {
    const { node, online } = host.core(core)
    return online !== 0 ? [node] : []
  })
}

function claimedByDomains(host: Host): number {
  let sum = 0
  for (let one = host.nextDomain(0); one; one = host.nextDomain(one.id + 1)) {
    sum += one.state.claimedPages
  }
  return sum
}

function physinfo(caller: Vcpu, op: SysctlView): Status {
  const { state, frames } = caller.host
  const info = op.u.physinfo
  info.threads_per_core = 1
  const online = onlineCores(caller.host)
  info.cores_per_socket = online.filter((node) => node === caller.host.core(0).node).length
  info.nr_cpus = online.length
  info.max_cpu_id = state.coreCount - 1
  info.nr_nodes = state.nodeCount
  info.max_node_id = state.nodeCount - 1
  info.cpu_khz = state.tscKhz
  info.capabilities = CAPABILITIES
  info.arch_capabilities = 0
  info.total_pages = frames.total
  // What is claimed and is no domain's is for tables of Xen's own.
  const outstanding = claimedByDomains(caller.host)
  info.free_pages = frames.free - (frames.claimed - outstanding)
  info.scrub_pages = 0
  info.outstanding_pages = outstanding
  info.max_mfn = state.machineFrames - 1
  for (let i = 0; i < 8; i++) info.hw_cap.set(i, state.hwCap.get(i))
  return 0
}

const chunk = new Uint8Array(4096)

/** Copies the log out; `count` becomes how much of it. */
function readconsole(caller: Vcpu, op: SysctlView): Status {
  const request = op.u.readconsole
  const { console } = caller.host
  let at = console.consumed
  if (request.incremental && (request.index - at | 0) > 0) at = request.index
  let done = 0
  while (done < request.count) {
    const part = chunk.subarray(0, Math.min(chunk.length, request.count - done))
    const length = console.read(at, part)
    if (length === 0) break
    if (!caller.memory.writeFrom(part.subarray(0, length), request.buffer + done)) return -EFAULT
    at = console.next()
    done += length
  }
  request.count = done
  request.index = at
  if (request.clear) console.clear()
  return 0
}

const infoBytes = new DataView(new ArrayBuffer(DomctlGetdomaininfo.size))
const info = DomctlGetdomaininfo.on(infoBytes)

function getdomaininfolist(caller: Vcpu, op: SysctlView): Status {
  const request = op.u.getdomaininfolist
  let count = 0
  let from: number = request.first_domain
  while (count < request.max_domains) {
    const domain = caller.host.nextDomain(from)
    if (!domain) break
    from = domain.id + 1
    fillInfo(domain, info)
    const at = request.buffer + count * DomctlGetdomaininfo.size
    if (!caller.memory.copyOut(infoBytes, at, DomctlGetdomaininfo.size)) return -EFAULT
    count++
  }
  request.num_domains = count
  return 0
}

function debug_keys(caller: Vcpu, op: SysctlView): Status {
  const { keys, nr_keys } = op.u.debug_keys
  const text = new Uint8Array(Math.min(nr_keys, 64))
  if (!caller.memory.readInto(text, keys)) return -EFAULT
  for (const key of text) pressKey(caller.host, String.fromCharCode(key))
  return 0
}

const wordBytes = new DataView(new ArrayBuffer(16))

function getcpuinfo(caller: Vcpu, op: SysctlView): Status {
  const request = op.u.getcpuinfo
  const { host } = caller
  const count = Math.min(request.max_cpus, host.state.coreCount)
  for (let i = 0; i < count; i++) {
    wordBytes.setBigUint64(0, BigInt(Math.round(host.core(i).idleTimeNs)), true)
    if (!caller.memory.copyOut(wordBytes, request.info + i * 8, 8)) return -EFAULT
  }
  request.nr_cpus = count
  return 0
}

function cputopoinfo(caller: Vcpu, op: SysctlView): Status {
  const request = op.u.cputopoinfo
  const { host } = caller
  const { coreCount } = host.state
  if (request.cputopo !== 0) {
    const topo = S.SysctlCputopo.on(wordBytes)
    const before = new Map<number, number>()
    for (let i = 0; i < Math.min(request.num_cpus, coreCount); i++) {
      const { node, online } = host.core(i)
      const rank = before.get(node) ?? 0
      before.set(node, rank + 1)
      topo.node = online !== 0 ? node : S.XEN_INVALID_NODE_ID
      topo.socket = online !== 0 ? node : S.XEN_INVALID_SOCKET_ID
      topo.core = online !== 0 ? rank : S.XEN_INVALID_CORE_ID
      const at = request.cputopo + i * S.SysctlCputopo.size
      if (!caller.memory.copyOut(wordBytes, at, S.SysctlCputopo.size)) return -EFAULT
    }
  }
  request.num_cpus = coreCount
  return 0
}

function numainfo(caller: Vcpu, op: SysctlView): Status {
  const request = op.u.numainfo
  const { frames, state } = caller.host
  const { nodeCount } = state
  const memory = S.SysctlMeminfo.on(wordBytes)
  for (let node = 0; node < Math.min(request.num_nodes, nodeCount); node++) {
    const { distances, frames: size } = state.nodes.item(node)
    memory.memsize = BigInt(size) * 4096n
    memory.memfree = BigInt(frames.freeOf(node)) * 4096n
    const at = request.meminfo + node * S.SysctlMeminfo.size
    if (request.meminfo !== 0 && !caller.memory.copyOut(wordBytes, at, S.SysctlMeminfo.size)) {
      return -EFAULT
    }
    for (let to = 0; to < nodeCount && request.distance !== 0; to++) {
      const cell = request.distance + (node * request.num_nodes + to) * 4
      if (!caller.memory.writeU32(cell, distances.get(to))) return -EFAULT
    }
  }
  request.num_nodes = nodeCount
  return 0
}

const commands: readonly SysctlCommand[] = [
  sysctlCommand(S.XEN_SYSCTL_readconsole, 'inout', readconsole),
  sysctlCommand(S.XEN_SYSCTL_physinfo, 'inout', physinfo),
  sysctlCommand(S.XEN_SYSCTL_getdomaininfolist, 'inout', getdomaininfolist),
  sysctlCommand(S.XEN_SYSCTL_debug_keys, 'in', debug_keys),
  sysctlCommand(S.XEN_SYSCTL_getcpuinfo, 'inout', getcpuinfo),
  sysctlCommand(S.XEN_SYSCTL_cputopoinfo, 'inout', cputopoinfo),
  sysctlCommand(S.XEN_SYSCTL_numainfo, 'inout', numainfo),
  ...schedCommands,
  ...hotplugCommands,
]
const byNumber = new Map(commands.map((command) => [command.number, command]))

const bytes = new DataView(new ArrayBuffer(S.XenSysctl.size))
const op = S.XenSysctl.on(bytes)

function sysctl(caller: Vcpu, args: HypercallArgs): Status {
  const at = args.pointer(0)
  if (!caller.memory.copyIn(bytes, at, S.XenSysctl.size)) return -EFAULT
  if (op.interface_version !== S.XEN_SYSCTL_INTERFACE_VERSION) return -EACCES
  const refusal = caller.host.xsm.sysctl(caller.domain, op.cmd)
  if (refusal < 0) return refusal
  const command = byNumber.get(op.cmd)
  if (!command) return -ENOSYS
  const status = command.run(caller, op)
  if (status < 0 || command.direction === 'in') return status
  return caller.memory.copyOut(bytes, at, S.XenSysctl.size) ? status : -EFAULT
}

export const sysctlCall: Hypercall = {
  number: __HYPERVISOR_sysctl,
  name: 'sysctl',
  columns: columns.everyone,
  subops: commands.map(({ number, name }) => ({ number, name, run: () => 0 })),
  run: sysctl,
}
