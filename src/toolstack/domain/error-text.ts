/**
 * What the C library calls the errors that hypercalls answer, as strerror(3) has them.
 */
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

export function errorText(errno: number): string {
  return texts.get(errno) ?? errnoName(errno)
}
