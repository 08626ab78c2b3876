/**
 * Memory in huge pages, where the system has them: what guests and their processors touch is all
 * over their memories, and a page of the usual size is too small for the host's TLB to have them.
 */
import { Advice, advise } from './c-library.ts'

/** Has the system use huge pages where a buffer is touched for the first time from now on, if it
 * has some at hand. */
export function preferHugePages(buffer: ArrayBufferLike): void {
  advise(buffer, 0, buffer.byteLength, Advice.HUGEPAGE)
}
