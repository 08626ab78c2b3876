/**
 * HYPERVISOR_xen_version: who we say we are (xen/include/public/version.h).
 *
 * The version is that of Debian 12's Xen, which this ABI follows, so that its tools start. The
 * command line reads "<denied>" to all but privileged domains, and the build id is refused to them.
 */
import { readText, writeText } from '../../base/layout/text.ts'
import { EFAULT, EINVAL, ENODATA, ENOBUFS, EPERM } from '../../abi/xen/errno.ts'
import { XEN_CAPABILITIES_INFO_LEN, XEN_CHANGESET_INFO_LEN, XEN_COMMANDLINE_LEN,
  XEN_EXTRAVERSION_LEN, XenBuildIdHead, XenCompileInfo, XENFEAT_auto_translated_physmap,
  XENFEAT_dom0, XENFEAT_hvm_callback_vector, XENFEAT_hvm_safe_pvclock,
  XENFEAT_memory_op_vnode_supported, XENFEAT_not_direct_mapped, XENFEAT_NR_SUBMAPS,
  XENFEAT_writable_page_tables, XenFeatureInfo, XenPlatformParameters, XENVER_build_id,
  XENVER_capabilities, XENVER_changeset, XENVER_commandline, XENVER_compile_info,
  XENVER_extraversion, XENVER_get_features, XENVER_guest_handle, XENVER_pagesize,
  XENVER_platform_parameters, XENVER_version } from '../../abi/xen/version.ts'
import { __HYPERVISOR_xen_version } from '../../abi/xen/xen.ts'
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { columns, operation, plainSubop, type Status, subop } from './operation.ts'

export const XEN_MAJOR = 4
export const XEN_MINOR = 17
const XEN_EXTRA = '.7'
const CAPABILITIES = 'hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 '
const DENIED = '<denied>'
/** The start of the area that Xen keeps in a 64-bit PV guest. */
const HYPERVISOR_VIRT_START = 0xffff_8000_0000_0000n
/** 20 bytes, as a linker's SHA-1 would be: ours names the ABI, not a build. */
const BUILD_ID = 'xenolith-abi-4.17.7\0'

const text = new Uint8Array(1024)

/** Copies `value` as an array of `length` characters, zeros behind it. */
function putText(caller: Vcpu, to: number, value: string, length: number): Status {
  const bytes = text.subarray(0, length).fill(0)
  for (let i = 0; i < value.length && i < length - 1; i++) bytes[i] = value.charCodeAt(i)
  return caller.memory.writeFrom(bytes, to) ? 0 : -EFAULT
}


function compileInfo(caller: Vcpu, argument: number): Status {
  const info = XenCompileInfo.on(new ArrayBuffer(XenCompileInfo.size))
  writeText(info.compiler, 'Node.js and WebAssembly')
  writeText(info.compile_by, 'xenolith')
  writeText(info.compile_domain, 'xenolith')
  writeText(info.compile_date, 'at run time')
  return caller.memory.copyOut(info.bytes, argument, XenCompileInfo.size) ? 0 : -EFAULT
}

function commandLine(caller: Vcpu, argument: number): Status {
  const { host, domain } = caller
  return host.xsm.xenVersion(domain) === 0
    ? putText(caller, argument, readText(host.state.commandLine), XEN_COMMANDLINE_LEN)
    : putText(caller, argument, DENIED, DENIED.length + 1)
}

/** The features of submap 0, by the kind of domain. */
function featuresOf(domain: Domain): number {
  let map = 1 << XENFEAT_memory_op_vnode_supported | 1 << XENFEAT_not_direct_mapped
  if (domain.isPrivileged) map |= 1 << XENFEAT_dom0
  if (domain.isHvm) {
    map |= 1 << XENFEAT_writable_page_tables | 1 << XENFEAT_auto_translated_physmap
      | 1 << XENFEAT_hvm_callback_vector | 1 << XENFEAT_hvm_safe_pvclock
  }
  return map >>> 0
}

const getFeatures = subop(XENVER_get_features, XenFeatureInfo, 'inout',
  function get_features(caller, info) {
    if (info.submap_idx >= XENFEAT_NR_SUBMAPS) return -EINVAL
    info.submap = featuresOf(caller.domain)
    return 0
  })

function buildId(caller: Vcpu, argument: number): Status {
  if (caller.host.xsm.xenVersion(caller.domain) !== 0) return -EPERM
  if (BUILD_ID.length === 0) return -ENODATA
  if (argument === 0) return BUILD_ID.length
  const room = caller.memory.readU32(argument)
  if (room < 0) return -EFAULT
  if (room === 0) return -EINVAL
  if (room < BUILD_ID.length) return -ENOBUFS
  const bytes = text.subarray(0, BUILD_ID.length)
  for (let i = 0; i < bytes.length; i++) bytes[i] = BUILD_ID.charCodeAt(i)
  const at = argument + XenBuildIdHead.size
  return caller.memory.writeFrom(bytes, at) ? BUILD_ID.length : -EFAULT
}

const platformParameters = new DataView(new ArrayBuffer(XenPlatformParameters.size))
platformParameters.setBigUint64(0, HYPERVISOR_VIRT_START, true)

export const xenVersion = operation(__HYPERVISOR_xen_version, 'xen_version', [
  plainSubop(XENVER_version, 'version', () => XEN_MAJOR << 16 | XEN_MINOR),
  plainSubop(XENVER_extraversion, 'extraversion', (caller, argument) =>
    putText(caller, argument, XEN_EXTRA, XEN_EXTRAVERSION_LEN)),
  plainSubop(XENVER_compile_info, 'compile_info', compileInfo),
  plainSubop(XENVER_capabilities, 'capabilities', (caller, argument) =>
    putText(caller, argument, CAPABILITIES, XEN_CAPABILITIES_INFO_LEN)),
  plainSubop(XENVER_changeset, 'changeset', (caller, argument) =>
    putText(caller, argument, '', XEN_CHANGESET_INFO_LEN)),
  plainSubop(XENVER_platform_parameters, 'platform_parameters', (caller, argument) =>
    caller.memory.copyOut(platformParameters, argument, caller.compat ? 4 : 8) ? 0 : -EFAULT),
  getFeatures,
  plainSubop(XENVER_pagesize, 'pagesize', (_caller, argument) => argument === 0 ? 4096 : -EINVAL),
  plainSubop(XENVER_guest_handle, 'guest_handle', (caller, argument) =>
    caller.memory.writeFrom(handleOf(caller.domain), argument) ? 0 : -EFAULT),
  plainSubop(XENVER_commandline, 'commandline', commandLine),
  plainSubop(XENVER_build_id, 'build_id', buildId),
], { columns: columns.everyone })

const handle = new Uint8Array(16)

function handleOf(domain: Domain): Uint8Array {
  for (let i = 0; i < 16; i++) handle[i] = domain.state.handle.get(i)
  return handle
}
