/**
 * The part of libxenctrl that concerns the host: versions, sysctl.
 */
import { readText } from '../base/layout/text.ts'
import { ENOENT } from '../abi/xen/errno.ts'
import { DomctlGetdomaininfo } from '../abi/xen/domctl.ts'
import * as S from '../abi/xen/sysctl.ts'
import * as V from '../abi/xen/version.ts'
import type { Domid } from '../abi/numbers.ts'
import { __HYPERVISOR_xen_version } from '../abi/xen/xen.ts'
import { unpackInfo } from './domain-info.ts'
import type { HypercallClient } from './hypercall-client.ts'
import {
  type CpuPlace, type CpupoolInfo, type DomainInfo, type NumaNode, type PhysicalInfo,
  XenError, type XenVersion,
} from './interfaces.ts'

const CPU_MAP_BYTES = 16

function latin1(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return String.fromCharCode(...bytes.subarray(0, end < 0 ? bytes.length : end))
}

export class HostControl {
  protected readonly client: HypercallClient

  constructor(client: HypercallClient) {
    this.client = client
  }

  version(): XenVersion {
    const { client } = this
    const ask = (cmd: number, at = 0): number =>
      client.call('xc_version', __HYPERVISOR_xen_version, cmd, at)
    const text = (cmd: number, length: number): string => client.scope(() => {
      const at = client.allocate(length)
      ask(cmd, at)
      return latin1(client.bytes(at, length))
    })
    const number = ask(V.XENVER_version)
    return client.scope(() => {
      const info = client.struct(V.XenCompileInfo)
      ask(V.XENVER_compile_info, info.position)
      const parameters = client.allocate(8)
      ask(V.XENVER_platform_parameters, parameters)
      const bytes = client.bytes(parameters, 8)
      return {
        major: number >>> 16,
        minor: number & 0xffff,
        extra: text(V.XENVER_extraversion, V.XEN_EXTRAVERSION_LEN),
        capabilities: text(V.XENVER_capabilities, V.XEN_CAPABILITIES_INFO_LEN),
        changeset: text(V.XENVER_changeset, V.XEN_CHANGESET_INFO_LEN),
        commandLine: text(V.XENVER_commandline, V.XEN_COMMANDLINE_LEN),
        buildId: this.#buildId(),
        pageSize: ask(V.XENVER_pagesize),
        virtStart: bytes.reduceRight((sum, byte) => sum << 8n | BigInt(byte), 0n),
        compiler: readText(info.compiler),
        compileBy: readText(info.compile_by),
        compileDomain: readText(info.compile_domain),
        compileDate: readText(info.compile_date),
      }
    })
  }

  /** As hexadecimal digits. */
  #buildId(): string {
    const { client } = this
    return client.scope(() => {
      const room = 64
      const head = client.struct(V.XenBuildIdHead)
      client.allocate(room)
      head.len = room
      const length = client.call('xc_version', __HYPERVISOR_xen_version, V.XENVER_build_id,
        head.position)
      const bytes = client.bytes(head.position + V.XenBuildIdHead.size, length)
      return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
    })
  }

  physinfo(): PhysicalInfo {
    return this.client.scope(() => {
      const info = this.client.sysctl('xc_physinfo', S.XEN_SYSCTL_physinfo).u.physinfo
      return {
        nrCpus: info.nr_cpus,
        maxCpuId: info.max_cpu_id,
        nrNodes: info.nr_nodes,
        threadsPerCore: info.threads_per_core,
        coresPerSocket: info.cores_per_socket,
        cpuKhz: info.cpu_khz,
        totalPages: info.total_pages,
        freePages: info.free_pages,
        scrubPages: info.scrub_pages,
        outstandingPages: info.outstanding_pages,
        maxMfn: info.max_mfn,
        hwCap: Array.from({ length: 8 }, (_, i) => info.hw_cap.get(i)),
        capabilities: info.capabilities,
      }
    })
  }

  schedId(): number {
    return this.client.scope(() =>
      this.client.sysctl('xc_sched_id', S.XEN_SYSCTL_sched_id).u.sched_id.sched_id)
  }

  cpuTopology(): CpuPlace[] {
    const { client } = this
    return client.scope(() => {
      const { size } = S.SysctlCputopo
      const count = this.physinfo().maxCpuId + 1
      const at = client.allocate(count * size)
      const { num_cpus } = client.sysctl('xc_cputopoinfo', S.XEN_SYSCTL_cputopoinfo, (op) => {
        op.u.cputopoinfo.num_cpus = count
        op.u.cputopoinfo.cputopo = at
      }).u.cputopoinfo
      const place = client.view(S.SysctlCputopo, at)
      return Array.from({ length: Math.min(num_cpus, count) }, (_, i) => {
        const { core, socket, node } = place.at(at + i * size)
        return { core, socket, node }
      })
    })
  }

  numaNodes(): NumaNode[] {
    const { client } = this
    return client.scope(() => {
      const { size } = S.SysctlMeminfo
      const count = this.physinfo().nrNodes
      const at = client.allocate(count * size)
      const distances = client.allocate(count * count * 4)
      client.sysctl('xc_numainfo', S.XEN_SYSCTL_numainfo, (op) => {
        op.u.numainfo.num_nodes = count
        op.u.numainfo.meminfo = at
        op.u.numainfo.distance = distances
      })
      const memory = client.view(S.SysctlMeminfo, at)
      return Array.from({ length: count }, (_, node) => {
        const { memsize, memfree } = memory.at(at + node * size)
        return {
          sizeBytes: Number(memsize), freeBytes: Number(memfree),
          distances: Array.from({ length: count }, (__, to) =>
            client.int(distances + (node * count + to) * 4)),
        }
      })
    })
  }

  #cpupool(op: number, pool: number): { info: CpupoolInfo, found: boolean } {
    const { client } = this
    return client.scope(() => {
      const map = client.allocate(CPU_MAP_BYTES)
      const request = client.sysctl('xc_cpupool_getinfo', S.XEN_SYSCTL_cpupool_op, (sysctl) => {
        const { cpupool_op } = sysctl.u
        cpupool_op.op = op
        cpupool_op.cpupool_id = pool
        cpupool_op.cpumap.bitmap = map
        cpupool_op.cpumap.nr_bits = CPU_MAP_BYTES * 8
      }).u.cpupool_op
      const info = {
        id: request.cpupool_id,
        schedId: request.sched_id,
        domainCount: request.n_dom,
        cpuMap: client.bytes(map, CPU_MAP_BYTES).slice(),
      }
      return { info, found: true }
    })
  }

  cpupoolInfo(pool: number): CpupoolInfo | undefined {
    try {
      return this.#cpupool(S.XEN_SYSCTL_CPUPOOL_OP_INFO, pool).info
    } catch (error) {
      if (error instanceof XenError && error.errno === ENOENT) return undefined
      throw error
    }
  }

  cpupoolFreeCpus(): Uint8Array {
    return this.#cpupool(S.XEN_SYSCTL_CPUPOOL_OP_FREEINFO, 0).info.cpuMap
  }

  readConsole(clear: boolean): Uint8Array {
    const { client } = this
    return client.scope(() => {
      const length = 64 * 1024
      const at = client.allocate(length)
      const { count } = client.sysctl('xc_readconsolering', S.XEN_SYSCTL_readconsole, (op) => {
        op.u.readconsole.clear = clear ? 1 : 0
        op.u.readconsole.buffer = at
        op.u.readconsole.count = length
      }).u.readconsole
      return client.bytes(at, count).slice()
    })
  }

  sendDebugKeys(keys: string): void {
    const { client } = this
    client.scope(() => {
      const at = client.allocate(keys.length)
      client.bytes(at, keys.length).set(new TextEncoder().encode(keys).subarray(0, keys.length))
      client.sysctl('xc_send_debug_keys', S.XEN_SYSCTL_debug_keys, (op) => {
        op.u.debug_keys.keys = at
        op.u.debug_keys.nr_keys = keys.length
      })
    })
  }

  getDomainInfoList(first: Domid, max: number): DomainInfo[] {
    const { client } = this
    return client.scope(() => {
      const { size } = DomctlGetdomaininfo
      const most = Math.min(max, Math.floor((client.room - 1024) / size))
      const at = client.allocate(most * size)
      const { num_domains } = client.sysctl('xc_domain_getinfolist',
        S.XEN_SYSCTL_getdomaininfolist, (op) => {
          const request = op.u.getdomaininfolist
          request.first_domain = first
          request.max_domains = most
          request.buffer = at
        }).u.getdomaininfolist
      const info = DomctlGetdomaininfo.on(client.bytes(at, most * size))
      return Array.from({ length: num_domains }, (_, i) => unpackInfo(info.at(i * size)))
    })
  }
}
