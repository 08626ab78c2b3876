/**
 * Devices for which everything has been found and opened, and which no domain has yet.
 */
import type { BlockStore } from '../../storage/block-store.ts'

/** `connect` or `drop` follows. */
export interface ReadyDevices {
  /** Gives them to a domain; may fail, and is then followed by `drop`. */
  connect(domid: number): void
  /** Resolves when all that `connect` began is over; a device that fails then is gone again. */
  connected?(): Promise<void>
  /** Gives up those that have not been given to a domain; resolves when they are closed. */
  drop(): Promise<void>
  /** The first disk, if there is one, which has no guest yet. */
  readonly bootDisk?: BlockStore | undefined
}

/** Makes ready what each of `wishes` is for, one after the other: all or none. */
export async function readyAll<W>(
  wishes: readonly W[], ready: (wish: W) => ReadyDevices | Promise<ReadyDevices>,
): Promise<ReadyDevices> {
  const waiting: ReadyDevices[] = []
  const given: ReadyDevices[] = []
  const drop = async (): Promise<void> => {
    await Promise.all(waiting.splice(0).map((one) => one.drop()))
  }
  try {
    for (const wish of wishes) waiting.push(await ready(wish))
  } catch (error) {
    await drop()
    throw error
  }
  const bootDisk = waiting.find((one) => one.bootDisk)?.bootDisk
  return {
    connect: (domid) => {
      while (waiting.length > 0) {
        waiting[0]!.connect(domid)
        given.push(waiting.shift()!)
      }
    },
    connected: async () => {
      for (const one of given) await one.connected?.()
    },
    drop,
    bootDisk,
  }
}
