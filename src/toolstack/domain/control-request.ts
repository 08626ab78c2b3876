/**
 * Asking a guest through control/shutdown, and its acknowledgement, as libxl does it.
 *
 * The guest acknowledges by emptying the node. One that does not within a minute has no driver for
 * it, or is not running: the request is withdrawn, so that it is not obeyed much later.
 */
import type { WatchHandle, XenstoreClient } from '../../xenstore/client.ts'
import { domainPath } from '../../xenstore/path.ts'
import { ERROR_FAIL, ERROR_TIMEDOUT, LibxlError } from './libxl.ts'

const TIMEOUT_MS = 60_000

export interface Timers {
  delay(ms: number, work: () => void): () => void
}

/** Resolves when the guest has acknowledged, rejects when it did not or is gone. */
export function requestControl(
  store: XenstoreClient, timers: Timers, domid: number, what: string,
): Promise<void> {
  const path = `${domainPath(domid)}/control/shutdown`
  return new Promise((resolve, reject) => {
    let watch: WatchHandle | undefined
    let done = false
    const finish = (error?: LibxlError): void => {
      if (done) return
      done = true
      cancel()
      watch?.close()
      if (error) reject(error)
      else resolve()
    }
    const cancel = timers.delay(TIMEOUT_MS, () => {
      finish(new LibxlError(ERROR_TIMEDOUT,
        `guest didn't acknowledge control request: ${ERROR_TIMEDOUT}`))
      store.transaction((tree) => {
        if (tree.read(path) === what) tree.write(path, '')
      })
    })
    store.write(path, what)
    watch = store.watch(path, () => {
      const value = store.read(path)
      if (value === undefined) {
        finish(new LibxlError(ERROR_FAIL, `Domain ${domid}: is gone`))
      } else if (value !== what) {
        finish()
      }
    })
    if (done) watch.close()
  })
}
