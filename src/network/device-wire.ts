/**
 * Wires that end in a network device of the host, as Xen's hotplug scripts have it of the kernel's
 * netback: a TAP device, set up by ip(8), and gone with its wire.
 */
import { type CommandHost, outputOf } from './command.ts'
import type { Frame } from './frame.ts'
import { NetworkError, type StationWish } from './station.ts'
import type { Wire } from './uplink.ts'

/** What the kernel takes as a device's name, less what would look like an option. */
const DEVICE = /^\w[\w.-]{0,14}$/

export interface DeviceHost extends CommandHost {
  /** A TAP device of this name; throws when there can be none. */
  openTap(name: string, receive: (frame: Frame) => void): Wire
}

export function isDeviceName(name: string): boolean {
  return DEVICE.test(name)
}

/** Throws NetworkError for a name that no device can have. */
export function checkDevice(name: string): void {
  if (!isDeviceName(name)) throw new NetworkError(`"${name}" cannot be a device's name`)
}

/** Throws NetworkError for what only the built-in bridge can do. */
export function refuseForwards(wish: StationWish): void {
  if (wish.forwards.length > 0) {
    throw new NetworkError('ports are forwarded on the built-in bridge only')
  }
}

export function openDevice(
  host: DeviceHost, device: string, receive: (frame: Frame) => void,
): Wire {
  try {
    return host.openTap(device, receive)
  } catch (cause) {
    throw new NetworkError((cause as Error).message, { cause })
  }
}

/** Brings a device up as one of a bridge's, not of the host's own: it asks and answers for nobody,
 * and its address is never the least, which a bridge would take for itself. */
export async function setUpDevice(
  host: CommandHost, device: string, words: readonly string[],
): Promise<void> {
  const own = ['address', 'fe:ff:ff:ff:ff:ff', 'arp', 'off', 'multicast', 'off']
  await outputOf(host, 'ip', ['link', 'set', device, ...own, ...words, 'up'])
}
