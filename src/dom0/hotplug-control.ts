/**
 * The part of libxenctrl that concerns physical CPUs and memory that come and go.
 */
import * as P from '../abi/xen/platform.ts'
import * as S from '../abi/xen/sysctl.ts'
import { __HYPERVISOR_platform_op } from '../abi/xen/xen.ts'
import { HostControl } from './host-control.ts'
import { type PageOutcome, XenError } from './interfaces.ts'

export class HotplugControl extends HostControl {
  hotplugCpu(op: number, cpu: number): void {
    this.client.scope(() => this.client.sysctl('xc_cpu_hotplug', S.XEN_SYSCTL_cpu_hotplug, (o) => {
      o.u.cpu_hotplug.cpu = cpu
      o.u.cpu_hotplug.op = op
    }))
  }

  #page(call: string, cmd: number, mfn: number): PageOutcome {
    const { client } = this
    return client.scope(() => {
      const at = client.allocate(4)
      let errno = 0
      try {
        client.sysctl(call, S.XEN_SYSCTL_page_offline_op, ({ u: { page_offline } }) => {
          page_offline.cmd = cmd
          page_offline.start = mfn
          page_offline.end = mfn
          page_offline.status = at
        })
      } catch (error) {
        if (!(error instanceof XenError)) throw error
        errno = error.errno
      }
      return { errno, status: client.int(at) >>> 0 }
    })
  }

  markPageOffline(mfn: number): PageOutcome {
    return this.#page('xc_mark_page_offline', S.sysctl_page_offline, mfn)
  }

  markPageOnline(mfn: number): PageOutcome {
    return this.#page('xc_mark_page_online', S.sysctl_page_online, mfn)
  }

  queryPageOffline(mfn: number): PageOutcome {
    return this.#page('xc_query_page_offline_status', S.sysctl_query_page_offline, mfn)
  }

  addMemory(first: number, end: number, node: number): void {
    const { client } = this
    client.scope(() => {
      const op = client.struct(P.XenPlatformOp)
      op.cmd = P.XENPF_mem_hotadd
      op.interface_version = P.XENPF_INTERFACE_VERSION
      op.u.mem_add.spfn = first
      op.u.mem_add.epfn = end
      op.u.mem_add.pxm = node
      client.call('XENPF_mem_hotadd', __HYPERVISOR_platform_op, op.position)
    })
  }
}
