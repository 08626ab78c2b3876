/**
 * Memory in huge pages, where the system has them: what guests touch is all over their memory, and
 * the host's TLB holds too few pages of the usual size for that.
 */
import { Advice, advise } from './c-library.ts'

/** Has the system use huge pages where a buffer is touched for the first time from now on, if it
 * has some at hand. */
export function preferHugePages(buffer: ArrayBufferLike): void {
  advise(buffer, 0, buffer.byteLength, Advice.HUGEPAGE)
}
