/**
 * Which of our ABI modules mirrors which public header of Xen, for tools/abi.ts.
 *
 * Every exported layout whose name is a C struct, and every exported number in capitals, is checked
 * against the header, but for those listed as our own.
 */
import * as hvmSave from '../src/abi/save/hvm.ts'
import * as startInfo from '../src/abi/xen/arch-x86/hvm/start_info.ts'
import * as cpuid from '../src/abi/xen/arch-x86/cpuid.ts'
import * as callback from '../src/abi/xen/callback.ts'
import * as domctl from '../src/abi/xen/domctl.ts'
import * as errno from '../src/abi/xen/errno.ts'
import * as eventChannel from '../src/abi/xen/event_channel.ts'
import * as grantTable from '../src/abi/xen/grant_table.ts'
import * as hvmOp from '../src/abi/xen/hvm/hvm_op.ts'
import * as params from '../src/abi/xen/hvm/params.ts'
import * as blkif from '../src/abi/xen/io/blkif.ts'
import * as console from '../src/abi/xen/io/console.ts'
import * as netif from '../src/abi/xen/io/netif.ts'
import * as xenbus from '../src/abi/xen/io/xenbus.ts'
import * as xsWire from '../src/abi/xen/io/xs_wire.ts'
import * as memory from '../src/abi/xen/memory.ts'
import * as physdev from '../src/abi/xen/physdev.ts'
import * as platform from '../src/abi/xen/platform.ts'
import * as sched from '../src/abi/xen/sched.ts'
import * as sharedInfo32 from '../src/abi/xen/shared-info-32.ts'
import * as sysctl from '../src/abi/xen/sysctl.ts'
import * as vcpu from '../src/abi/xen/vcpu.ts'
import * as version from '../src/abi/xen/version.ts'
import * as xen from '../src/abi/xen/xen.ts'

export interface HeaderRow {
  readonly header: string
  readonly module: Readonly<Record<string, unknown>>
  /** What C puts before the names of constants. */
  readonly prefix?: string
  /** Also laid out for 32-bit callers, and checked so; 'only' is for them alone. */
  readonly compat?: boolean | 'only'
  /** Names that are ours, or that the header has no constant for. */
  readonly own?: readonly string[]
}

export const headers: readonly HeaderRow[] = [
  { header: 'xen/errno.h', module: errno, prefix: 'XEN_', own: ['EINTR', 'ERESTART'] },
  {
    header: 'xen/xen.h', module: xen,
    own: ['XEN_X86_EMU_ALL', 'struct e820entry'],
  },
  { header: 'xen/xen.h', module: sharedInfo32, compat: 'only' },
  { header: 'xen/event_channel.h', module: eventChannel, compat: true },
  { header: 'xen/grant_table.h', module: grantTable, compat: true },
  {
    header: 'xen/memory.h', module: memory, compat: true,
    own: ['MEMOP_CMD_MASK', 'MEMOP_EXTENT_SHIFT', 'XENMEMF_NODE_SHIFT'],
  },
  { header: 'xen/version.h', module: version, own: ['XEN_COMMANDLINE_LEN'] },
  { header: 'xen/sched.h', module: sched, compat: true },
  { header: 'xen/vcpu.h', module: vcpu },
  { header: 'xen/physdev.h', module: physdev },
  { header: 'xen/callback.h', module: callback },
  { header: 'xen/platform.h', module: platform },
  { header: 'xen/domctl.h', module: domctl },
  { header: 'xen/sysctl.h', module: sysctl },
  { header: 'xen/hvm/hvm_op.h', module: hvmOp, compat: true },
  { header: 'xen/hvm/params.h', module: params },
  {
    header: 'xen/hvm/save.h', module: hvmSave,
    own: Object.keys(hvmSave).filter((name) => name.startsWith('HVM_SAVE_CODE_')),
  },
  { header: 'xen/arch-x86/cpuid.h', module: cpuid },
  { header: 'xen/arch-x86/hvm/start_info.h', module: startInfo },
  { header: 'xen/io/blkif.h', module: blkif },
  {
    header: 'xen/io/console.h', module: console,
    own: ['XENCONS_IN_SIZE', 'XENCONS_OUT_SIZE'],
  },
  { header: 'xen/io/netif.h', module: netif, compat: true },
  { header: 'xen/io/xenbus.h', module: xenbus },
  { header: 'xen/io/xs_wire.h', module: xsWire },
]
