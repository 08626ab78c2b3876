/**
 * Interfaces that the host's kernel routes to: what Xen's hotplug scripts vif-route and vif-nat do,
 * with a TAP device in the place of netback's. Firewall rules for the interface's addresses are
 * left out, and so are vif-nat's changes of the host's DHCP server.
 */
import { type CaptureWorld, startCapture } from './capture.ts'
import { outputOf } from './command.ts'
import {
  checkDevice, type DeviceHost, isDeviceName, openDevice, refuseForwards,
} from './device-wire.ts'
import { formatIpv4, type Ipv4Address, parseIpv4 } from './nat/ipv4.ts'
import { NetworkError, type Station, type StationWish } from './station.ts'
import { Uplink } from './uplink.ts'

const DEFAULT_GATEWAY = 'eth0'
/** An address or a network, as ip(8) takes it and not as an option. */
const ADDRESS = /^[\d.]+(\/\d{1,2})?$/
/** The script's: that of an emulated twin would be less. */
const METRIC = '2'

export interface HostRouteHost extends DeviceHost, CaptureWorld {}

/** What an interface's device is set up with. */
interface RoutePlan {
  /** The device's own address, as ip(8) takes it. */
  readonly own: string
  /** As which the host speaks to the guest. */
  readonly source: string
  readonly guest: readonly string[]
  /** What more is said of each route. */
  readonly words: readonly string[]
}

/** Makes a device of the interface's name, with the gateway device's own address, and routes the
 * guest's addresses there; rejects with NetworkError. */
export async function stationOnHostRoute(
  host: HostRouteHost, wish: StationWish,
): Promise<Station> {
  const { addresses, device, gatewayDevice = DEFAULT_GATEWAY } = wish
  const wrong = addresses.find((address) => !ADDRESS.test(address))
  if (wrong !== undefined) throw new NetworkError(`"${wrong}" is no address`)
  checkDevice(device)
  refuseForwards(wish)
  const own = isDeviceName(gatewayDevice)
    ? await outputOf(host, 'ip', ['-4', '-o', 'addr', 'show', 'primary', 'dev', gatewayDevice]) : ''
  const main = / inet ([\d.]+)/.exec(own)?.[1]
  if (main === undefined) throw new NetworkError(`${gatewayDevice} has no address to route from`)
  return plug(host, wish,
    { own: `${main}/32`, source: main, guest: addresses, words: ['metric', METRIC] })
}

/** Makes a device of the interface's name, with an address that follows from the guest's, which
 * is the guest's gateway. */
export async function stationOnHostNat(
  host: HostRouteHost, wish: StationWish,
): Promise<Station> {
  const { addresses: [address = addressOf(wish), ...more] } = wish
  if (more.length > 0) throw new NetworkError('vif-nat takes one address')
  const guest = address.replace(/\/.*/, '')
  const parsed = parseIpv4(guest)
  // As the script has it: the last byte is 127 more.
  if (parsed === undefined || (parsed & 0xff) + 127 > 255) {
    throw new NetworkError(`"${address}" is no address that vif-nat finds a gateway for`)
  }
  checkDevice(wish.device)
  refuseForwards(wish)
  const source = formatIpv4(parsed + 127 as Ipv4Address)
  return plug(host, wish, { own: source, source, guest: [guest], words: [] })
}

/** The address that an interface has if it says nothing. */
function addressOf({ domid, devid }: StationWish): string {
  return `10.${domid >>> 8}.${domid & 0xff}.${devid + 1}`
}

async function plug(
  host: HostRouteHost, { device, mtu, capture: file }: StationWish, plan: RoutePlan,
): Promise<Station> {
  const { own, source, guest, words } = plan
  const ip = (...all: string[]): Promise<string> => outputOf(host, 'ip', all)
  const capture = file === undefined ? undefined : startCapture(host, file)
  const uplink = new Uplink(capture, () => {})
  try {
    uplink.plug(openDevice(host, device, (frame) => uplink.receive(frame)))
    await ip('link', 'set', device, ...mtu === undefined ? [] : ['mtu', `${mtu}`], 'up')
    await ip('addr', 'add', own, 'dev', device)
    // So that the host answers for every address that the guest asks for.
    await outputOf(host, 'sysctl', ['-q', '-w', `net/ipv4/conf/${device}/proxy_arp=1`])
    for (const address of guest) {
      await ip('route', 'add', address, 'dev', device, 'src', source, ...words)
    }
    return uplink
  } catch (error) {
    uplink.close()
    throw error
  }
}
