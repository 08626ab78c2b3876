/**
 * Gives memory back at a moment of our choosing.
 *
 * A kernel's image is some 70 MB of buffers that are garbage once it is written into its domain. A
 * process that then sits idle would keep them, since nothing makes it collect.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
setFlagsFromString('--no-expose-gc')

/** Collects soon, when the turn that let go of the buffers is over. */
export function collectGarbageSoon(): void {
  setImmediate(collect)
}
