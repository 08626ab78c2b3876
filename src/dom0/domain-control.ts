/**
 * The part of libxenctrl that concerns domains: domctl, hvm_op, SCHEDOP_remote_shutdown.
 */
import type { Domid } from '../abi/numbers.ts'
import { type FeatureWord, placeOf } from '../abi/x86/cpuid.ts'
import * as D from '../abi/xen/domctl.ts'
import { ESRCH } from '../abi/xen/errno.ts'
import { HVMOP_get_param, HVMOP_set_param, XenHvmParam } from '../abi/xen/hvm/hvm_op.ts'
import { SCHEDOP_remote_shutdown, SchedRemoteShutdown } from '../abi/xen/sched.ts'
import { __HYPERVISOR_hvm_op, __HYPERVISOR_sched_op, DOMID_INVALID } from '../abi/xen/xen.ts'
import { XenVmemrange } from '../abi/xen/memory.ts'
import { unpackInfo } from './domain-info.ts'
import type { DomctlView } from './hypercall-client.ts'
import {
  type Affinity, type CreateDomainConfig, type DomainInfo, type VcpuInfo, type VnumaTopology,
  XenError,
} from './interfaces.ts'
import { SchedControl } from './sched-control.ts'

const CPU_MAP_BYTES = 16
const NODE_MAP_BYTES = 8

export class DomainControl extends SchedControl {
  /** One domctl whose answer nobody reads. */
  #do(call: string, cmd: number, domid: Domid, fill?: (op: DomctlView) => void): void {
    this.client.scope(() => this.client.domctl(call, cmd, domid, fill))
  }

  createDomain(config: CreateDomainConfig): Domid {
    const domid = config.domid ?? DOMID_INVALID as Domid
    return this.client.scope(() =>
      this.client.domctl('xc_domain_create', D.XEN_DOMCTL_createdomain, domid, (op) => {
        const create = op.u.createdomain
        create.ssidref = config.ssidref ?? 0
        for (let i = 0; i < 16; i++) create.handle.set(i, config.handle[i] ?? 0)
        create.flags = config.flags
        create.max_vcpus = config.maxVcpus
        create.max_evtchn_port = config.maxEvtchnPort ?? 1023
        create.max_grant_frames = config.maxGrantFrames ?? -1
        create.max_maptrack_frames = config.maxMaptrackFrames ?? -1
        create.grant_opts = config.grantVersion ?? 1
        create.cpupool_id = config.cpupool ?? 0
        create.arch.emulation_flags = config.emulationFlags ?? 0
        create.arch.misc_flags = config.miscFlags ?? 0
      }).domain)
  }

  destroyDomain(domid: Domid): void {
    this.#do('xc_domain_destroy', D.XEN_DOMCTL_destroydomain, domid)
  }

  pauseDomain(domid: Domid): void {
    this.#do('xc_domain_pause', D.XEN_DOMCTL_pausedomain, domid)
  }

  unpauseDomain(domid: Domid): void {
    this.#do('xc_domain_unpause', D.XEN_DOMCTL_unpausedomain, domid)
  }

  resumeDomain(domid: Domid): void {
    this.#do('xc_domain_resume', D.XEN_DOMCTL_resumedomain, domid)
  }

  shutdownDomain(domid: Domid, reason: number): void {
    this.client.scope(() => {
      const op = this.client.struct(SchedRemoteShutdown)
      op.domain_id = domid
      op.reason = reason
      this.client.call('xc_domain_shutdown', __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown,
        op.position)
    })
  }

  getDomainInfo(domid: Domid): DomainInfo | undefined {
    try {
      return this.client.scope(() => unpackInfo(
        this.client.domctl('xc_domain_getinfo', D.XEN_DOMCTL_getdomaininfo, domid)
          .u.getdomaininfo))
    } catch (error) {
      if (error instanceof XenError && error.errno === ESRCH) return undefined
      throw error
    }
  }

  setDomainHandle(domid: Domid, handle: Uint8Array): void {
    this.#do('xc_domain_sethandle', D.XEN_DOMCTL_setdomainhandle, domid, (op) => {
      for (let i = 0; i < 16; i++) op.u.setdomainhandle.handle.set(i, handle[i] ?? 0)
    })
  }

  setMaxVcpus(domid: Domid, max: number): void {
    this.#do('xc_domain_max_vcpus', D.XEN_DOMCTL_max_vcpus, domid, (op) => {
      op.u.max_vcpus.max = max
    })
  }

  setMaxMem(domid: Domid, kib: number): void {
    this.#do('xc_domain_setmaxmem', D.XEN_DOMCTL_max_mem, domid, (op) => {
      op.u.max_mem.max_memkb = kib
    })
  }

  getVcpuInfo(domid: Domid, vcpu: number): VcpuInfo {
    return this.client.scope(() => {
      const info = this.client.domctl('xc_vcpu_getinfo', D.XEN_DOMCTL_getvcpuinfo, domid,
        (op) => { op.u.getvcpuinfo.vcpu = vcpu }).u.getvcpuinfo
      return {
        online: info.online !== 0,
        blocked: info.blocked !== 0,
        running: info.running !== 0,
        cpuTimeNs: info.cpu_time,
        cpu: info.cpu,
      }
    })
  }

  getVcpuAffinity(domid: Domid, vcpu: number): Affinity {
    const { client } = this
    return client.scope(() => {
      const hard = client.allocate(CPU_MAP_BYTES)
      const soft = client.allocate(CPU_MAP_BYTES)
      client.domctl('xc_vcpu_getaffinity', D.XEN_DOMCTL_getvcpuaffinity, domid, (op) => {
        const request = op.u.vcpuaffinity
        request.vcpu = vcpu
        request.flags = D.XEN_VCPUAFFINITY_HARD | D.XEN_VCPUAFFINITY_SOFT
        request.cpumap_hard.bitmap = hard
        request.cpumap_hard.nr_bits = CPU_MAP_BYTES * 8
        request.cpumap_soft.bitmap = soft
        request.cpumap_soft.nr_bits = CPU_MAP_BYTES * 8
      })
      return {
        hard: client.bytes(hard, CPU_MAP_BYTES).slice(),
        soft: client.bytes(soft, CPU_MAP_BYTES).slice(),
      }
    })
  }

  setVcpuAffinity(domid: Domid, vcpu: number, affinity: Partial<Affinity>): void {
    const { client } = this
    const put = (map: Uint8Array): number => {
      const at = client.allocate(map.length)
      client.bytes(at, map.length).set(map)
      return at
    }
    client.scope(() => {
      const hard = affinity.hard ? put(affinity.hard) : 0
      const soft = affinity.soft ? put(affinity.soft) : 0
      client.domctl('xc_vcpu_setaffinity', D.XEN_DOMCTL_setvcpuaffinity, domid, (op) => {
        const request = op.u.vcpuaffinity
        request.vcpu = vcpu
        request.flags = (affinity.hard ? D.XEN_VCPUAFFINITY_HARD : 0)
          | (affinity.soft ? D.XEN_VCPUAFFINITY_SOFT : 0)
        request.cpumap_hard.bitmap = hard
        request.cpumap_hard.nr_bits = (affinity.hard?.length ?? 0) * 8
        request.cpumap_soft.bitmap = soft
        request.cpumap_soft.nr_bits = (affinity.soft?.length ?? 0) * 8
      })
    })
  }

  setNodeAffinity(domid: Domid, nodes: Uint8Array): void {
    const { client } = this
    client.scope(() => {
      const at = client.allocate(nodes.length)
      client.bytes(at, nodes.length).set(nodes)
      client.domctl('xc_domain_node_setaffinity', D.XEN_DOMCTL_setnodeaffinity, domid, (op) => {
        op.u.nodeaffinity.nodemap.bitmap = at
        op.u.nodeaffinity.nodemap.nr_bits = nodes.length * 8
      })
    })
  }

  getNodeAffinity(domid: Domid): Uint8Array {
    const { client } = this
    return client.scope(() => {
      const at = client.allocate(NODE_MAP_BYTES)
      client.domctl('xc_domain_node_getaffinity', D.XEN_DOMCTL_getnodeaffinity, domid, (op) => {
        op.u.nodeaffinity.nodemap.bitmap = at
        op.u.nodeaffinity.nodemap.nr_bits = NODE_MAP_BYTES * 8
      })
      return client.bytes(at, NODE_MAP_BYTES).slice()
    })
  }

  setVnumaInfo(domid: Domid, topology: VnumaTopology): void {
    const { client } = this
    const { memory, distances, pnodeOfVnode, vnodeOfVcpu } = topology
    client.scope(() => {
      const { size } = XenVmemrange
      const ranges = client.allocate(memory.length * size)
      const range = client.view(XenVmemrange, ranges)
      memory.forEach(({ start, end, vnode }, i) => {
        range.at(ranges + i * size)
        range.start = start
        range.end = end
        range.nid = vnode
      })
      const lists = [distances, vnodeOfVcpu, pnodeOfVnode].map((list) => client.ints(list))
      client.domctl('xc_domain_setvnuma', D.XEN_DOMCTL_setvnumainfo, domid, ({ u: { vnuma } }) => {
        vnuma.nr_vnodes = pnodeOfVnode.length
        vnuma.nr_vcpus = vnodeOfVcpu.length
        vnuma.nr_vmemranges = memory.length
        vnuma.vdistance = lists[0]!
        vnuma.vcpu_to_vnode = lists[1]!
        vnuma.vnode_to_pnode = lists[2]!
        vnuma.vmemrange = ranges
      })
    })
  }

  getHvmParam(domid: Domid, param: number): bigint {
    return this.client.scope(() => {
      const op = this.client.struct(XenHvmParam)
      op.domid = domid
      op.index = param
      this.client.call('xc_hvm_param_get', __HYPERVISOR_hvm_op, HVMOP_get_param, op.position)
      return op.value
    })
  }

  setHvmParam(domid: Domid, param: number, value: bigint | number): void {
    this.client.scope(() => {
      const op = this.client.struct(XenHvmParam)
      op.domid = domid
      op.index = param
      op.value = BigInt(value)
      this.client.call('xc_hvm_param_set', __HYPERVISOR_hvm_op, HVMOP_set_param, op.position)
    })
  }

  getHvmContext(domid: Domid): Uint8Array {
    const { client } = this
    const ask = (buffer: number, size: number): number =>
      client.domctl('xc_domain_hvm_getcontext', D.XEN_DOMCTL_gethvmcontext, domid, (op) => {
        op.u.hvmcontext.buffer = buffer
        op.u.hvmcontext.size = size
      }).u.hvmcontext.size
    return client.scope(() => {
      const size = ask(0, 0)
      const at = client.allocate(size)
      return client.bytes(at, ask(at, size)).slice()
    })
  }

  setHvmContext(domid: Domid, records: Uint8Array): void {
    const { client } = this
    client.scope(() => {
      const at = client.allocate(records.length)
      client.bytes(at, records.length).set(records)
      client.domctl('xc_domain_hvm_setcontext', D.XEN_DOMCTL_sethvmcontext, domid, (op) => {
        op.u.hvmcontext.buffer = at
        op.u.hvmcontext.size = records.length
      })
    })
  }

  setTscInfo(
    domid: Domid, mode: number, elapsedNs: bigint, khz: number, incarnation: number,
  ): void {
    this.#do('xc_domain_set_tsc_info', D.XEN_DOMCTL_settscinfo, domid, (op) => {
      op.u.tsc_info.tsc_mode = mode
      op.u.tsc_info.elapsed_nsec = elapsedNs
      op.u.tsc_info.gtsc_khz = khz
      op.u.tsc_info.incarnation = incarnation
    })
  }

  setFeatures(domid: Domid, features: ReadonlyMap<FeatureWord, number>): void {
    const { client } = this
    client.scope(() => {
      const leaves = [...features].map(([word, bits]) => {
        const { leaf, subleaf, register } = placeOf(word)
        return [leaf, subleaf, ...[0, 1, 2, 3].map((i) => i === register ? bits : 0)]
      })
      const at = client.ints(leaves.flat())
      client.domctl('xc_set_domain_cpu_policy', D.XEN_DOMCTL_set_cpu_policy, domid, (op) => {
        op.u.cpu_policy.nr_leaves = leaves.length
        op.u.cpu_policy.leaves = at
      })
    })
  }

  setTimeOffset(domid: Domid, seconds: number): void {
    this.#do('xc_domain_set_time_offset', D.XEN_DOMCTL_settimeoffset, domid, (op) => {
      op.u.settimeoffset.time_offset_seconds = BigInt(seconds)
    })
  }

  setPagingMempoolSize(domid: Domid, bytes: number): void {
    this.#do('xc_set_paging_mempool_size', D.XEN_DOMCTL_set_paging_mempool_size, domid, (op) => {
      op.u.paging_mempool.size = bytes
    })
  }

  setShadowAllocation(domid: Domid, mib: number): void {
    this.#do('xc_shadow_control', D.XEN_DOMCTL_shadow_op, domid, (op) => {
      op.u.shadow_op.op = D.XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION
      op.u.shadow_op.mb = mib
    })
  }

  sendTrigger(domid: Domid, trigger: number, vcpu: number): void {
    this.#do('xc_domain_send_trigger', D.XEN_DOMCTL_sendtrigger, domid, (op) => {
      op.u.sendtrigger.trigger = trigger
      op.u.sendtrigger.vcpu = vcpu
    })
  }
}
