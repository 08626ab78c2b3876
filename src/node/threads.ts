/**
 * Whether a thread of this process lives, told without a turn of the event loop.
 *
 * Linux shows it in /proc. Elsewhere threads have no names, and of one without a name nothing is
 * known.
 */
import { existsSync, readlinkSync } from 'node:fs'

/** The name of the thread that asks, if it has one. */
export function threadName(): string | undefined {
  try {
    return readlinkSync('/proc/thread-self')
  } catch {
    return undefined
  }
}

/** Whether the thread with this name has ended. */
export function threadHasEnded(name: string): boolean {
  return !existsSync(`/proc/${name}`)
}
