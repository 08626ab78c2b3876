/**
 * PV guests: Xen's shim, a hypervisor that is an ordinary PVH guest itself and runs one PV kernel.
 *
 * It is Xen's own (`pvshim=1` in xl.cfg(5)), from a package of the distribution. What it is told is
 * as libxl tells it: the guest's kernel and ramdisk are its modules.
 */
import type { PvShim } from '../config/boot.ts'

/** Where Debian has it, in xen-utils-4.17. */
export const XEN_SHIM = '/usr/lib/xen-4.17/boot/xen-shim'
const USUAL = 'pv-shim console=xen,pv'

/** What the shim is started with: the usual, unless the configuration says otherwise. */
export function shimCommandLine({ cmdline = USUAL, extra }: PvShim): string {
  return extra === undefined ? cmdline : `${cmdline} ${extra}`
}
