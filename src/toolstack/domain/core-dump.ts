/**
 * Writing a domain's memory and registers into a file (`xl dump-core`, on_crash="coredump-..."), as
 * far as it has memory. The domain is not paused, as with real xl; one that runs changes meanwhile.
 */
import { asGfn, type Domid } from '../../abi/numbers.ts'
import { HostFileError, type HostFiles } from '../../base/host-file.ts'
import { type ControlDomain, XenError } from '../../dom0/interfaces.ts'
import { coreFile, PAGES_AT } from '../build/core-file.ts'
import { about } from './error-text.ts'
import { ERROR_FAIL, LibxlError } from './libxl.ts'

const PAGE = 4096
/** Pages that are mapped at a time. */
const STEP = 1024

/** Writes the file at `path` anew; LibxlError, and no whole file there, when that cannot be. */
export async function dumpCore(
  control: ControlDomain, files: HostFiles, domid: Domid, path: string,
): Promise<void> {
  try {
    const file = await files.create(path)
    try {
      const gfns: number[] = []
      const end = control.xenctrl.maximumGpfn(domid) + 1
      for (let first = 0; first < end; first += STEP) {
        const found = copyPages(control, domid, first, Math.min(STEP, end - first))
        await file.write(PAGES_AT + gfns.length * PAGE, found.bytes)
        gfns.push(...found.gfns)
      }
      const { xenctrl } = control
      const { head, tail } = coreFile({
        gfns, version: xenctrl.version(), context: xenctrl.getHvmContext(domid),
      })
      await file.write(PAGES_AT + gfns.length * PAGE, tail)
      // Last, so that what is not whole is no dump.
      await file.write(0, head)
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (!(cause instanceof XenError || cause instanceof HostFileError)) throw cause
    throw new LibxlError(ERROR_FAIL, `${about(domid)}Core dump failed: ${cause.message}`,
      { cause })
  }
}

/** What is there of `count` pages from `first` on. */
function copyPages(
  control: ControlDomain, domid: Domid, first: number, count: number,
): { readonly gfns: readonly number[], readonly bytes: Uint8Array } {
  const wanted = Array.from({ length: count }, (_, i) => asGfn(first + i))
  const { gfns, mapping } = control.memory.mapThose(domid, wanted)
  const bytes = new Uint8Array(gfns.length * PAGE)
  for (let i = 0; i < gfns.length; i++) bytes.set(mapping.page(i), i * PAGE)
  mapping.unmap()
  return { gfns, bytes }
}
