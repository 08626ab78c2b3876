/**
 * Bridges of the host's kernel: what Xen's hotplug script vif-bridge does, with a TAP device in the
 * place of netback's. Firewall rules for the interface's addresses are left out.
 */
import { type CaptureWorld, startCapture } from './capture.ts'
import {
  checkDevice, type DeviceHost, isDeviceName, openDevice, refuseForwards, setUpDevice,
} from './device-wire.ts'
import { NetworkError, type Station, type StationWish } from './station.ts'
import { Uplink } from './uplink.ts'

export interface HostBridgeHost extends DeviceHost, CaptureWorld {}

/** Puts a device of the interface's name into a bridge; rejects with NetworkError. */
export async function stationOnHostBridge(
  host: HostBridgeHost, wish: StationWish,
): Promise<Station> {
  const { device, bridge, mtu } = wish
  if (!await isBridge(host, bridge)) throw new NetworkError(`there is no bridge "${bridge}"`)
  checkDevice(device)
  refuseForwards(wish)
  const capture = wish.capture === undefined ? undefined : startCapture(host, wish.capture)
  const uplink = new Uplink(capture, () => {})
  try {
    uplink.plug(openDevice(host, device, (frame) => uplink.receive(frame)))
    await setUpDevice(host, device, [
      ...mtu === undefined ? [] : ['mtu', `${mtu}`], 'master', bridge,
    ])
    return uplink
  } catch (error) {
    uplink.close()
    throw error
  }
}

async function isBridge(host: HostBridgeHost, name: string): Promise<boolean> {
  if (!isDeviceName(name)) return false
  const shown = await host.run('ip', ['link', 'show', 'dev', name, 'type', 'bridge'])
  return shown?.status === 0 && shown.output !== ''
}
