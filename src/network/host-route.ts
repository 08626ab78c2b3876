/**
 * Interfaces that the host's kernel routes to: what Xen's hotplug script vif-route does, with a TAP
 * device in the place of netback's. Firewall rules for the interface's addresses are left out.
 */
import { type CaptureWorld, startCapture } from './capture.ts'
import { outputOf } from './command.ts'
import {
  checkDevice, type DeviceHost, isDeviceName, openDevice, refuseForwards,
} from './device-wire.ts'
import { NetworkError, type Station, type StationWish } from './station.ts'
import { Uplink } from './uplink.ts'

const DEFAULT_GATEWAY = 'eth0'
/** An address or a network, as ip(8) takes it and not as an option. */
const ADDRESS = /^[\d.]+(\/\d{1,2})?$/
/** The script's: that of an emulated twin would be less. */
const METRIC = '2'

export interface HostRouteHost extends DeviceHost, CaptureWorld {}

/** Makes a device of the interface's name, with the gateway device's own address, and routes the
 * guest's addresses there; rejects with NetworkError. */
export async function stationOnHostRoute(
  host: HostRouteHost, wish: StationWish,
): Promise<Station> {
  const { addresses, device, gatewayDevice = DEFAULT_GATEWAY, mtu } = wish
  const wrong = addresses.find((address) => !ADDRESS.test(address))
  if (wrong !== undefined) throw new NetworkError(`"${wrong}" is no address`)
  checkDevice(device)
  refuseForwards(wish)
  const ip = (...words: string[]): Promise<string> => outputOf(host, 'ip', words)
  const own = isDeviceName(gatewayDevice)
    ? await ip('-4', '-o', 'addr', 'show', 'primary', 'dev', gatewayDevice) : ''
  const main = / inet ([\d.]+)/.exec(own)?.[1]
  if (main === undefined) throw new NetworkError(`${gatewayDevice} has no address to route from`)
  const capture = wish.capture === undefined ? undefined : startCapture(host, wish.capture)
  const uplink = new Uplink(capture, () => {})
  try {
    uplink.plug(openDevice(host, device, (frame) => uplink.receive(frame)))
    await ip('link', 'set', device, ...mtu === undefined ? [] : ['mtu', `${mtu}`], 'up')
    await ip('addr', 'add', `${main}/32`, 'dev', device)
    // So that the host answers for every address that the guest asks for.
    await outputOf(host, 'sysctl', ['-q', '-w', `net/ipv4/conf/${device}/proxy_arp=1`])
    for (const address of addresses) {
      await ip('route', 'add', address, 'dev', device, 'src', main, 'metric', METRIC)
    }
    return uplink
  } catch (error) {
    uplink.close()
    throw error
  }
}
