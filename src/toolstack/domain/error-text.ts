/**
 * What the C library calls the errors that hypercalls answer, as strerror(3) has them, and how
 * libxl's messages about a domain begin.
 */
import { DOMID_FIRST_RESERVED } from '../../abi/xen/xen.ts'
import {
  EADDRNOTAVAIL, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENOMEM, ENOSYS, EOPNOTSUPP, EPERM,
  errnoName, ESRCH,
} from '../../abi/xen/errno.ts'

const texts: ReadonlyMap<number, string> = new Map([
  [EADDRNOTAVAIL, 'Cannot assign requested address'], [EBUSY, 'Device or resource busy'],
  [EEXIST, 'File exists'], [EINVAL, 'Invalid argument'], [ENODEV, 'No such device'],
  [ENOENT, 'No such file or directory'], [ENOMEM, 'Cannot allocate memory'],
  [ENOSYS, 'Function not implemented'],
  [EOPNOTSUPP, 'Operation not supported'], [EPERM, 'Operation not permitted'],
  [ESRCH, 'No such process'],
])

/** The beginning of a message about a domain; libxl names guests only. */
export function about(domid: number): string {
  return domid > 0 && domid < DOMID_FIRST_RESERVED ? `Domain ${domid}:` : ''
}

export function errorText(errno: number): string {
  return texts.get(errno) ?? errnoName(errno)
}

/** What libxl says where it looks for a domain's saved configuration first. */
export function noUserdata(domid: number): string {
  return `unable to find domain info for domain ${domid}: Success`
}
