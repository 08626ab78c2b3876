/**
 * The networks of a machine put together: the built-in bridge, and what the host has.
 */
import { Bridge, defaultNetwork } from '../network/bridge.ts'
import { FrameReader, lengthPrefixed } from '../network/frame-stream.ts'
import type { Frame } from '../network/frame.ts'
import { HostNetworks } from '../network/networks.ts'
import { wireFrames } from '../network/offload.ts'
import { OpenVswitch, type StreamWire } from '../network/openvswitch.ts'
import type { Networks } from '../network/station.ts'
import type { Wire } from '../network/uplink.ts'
import { readVnetHeader, withVnetHeader } from '../network/vnet-header.ts'
import { openCapture } from '../node/capture-file.ts'
import { runIfThere } from '../node/command.ts'
import { listenForStream } from '../node/frame-socket.ts'
import { hostNet } from '../node/host-net.ts'
import { openTap } from '../node/tap.ts'
import { DEFAULT_BRIDGE } from '../toolstack/domain/vifs.ts'
import type { Surroundings } from './surroundings.ts'

export interface NetworkOptions {
  /** Files that guests may fetch by TFTP. */
  readonly tftpFolder?: string | undefined
  /** The one of them that DHCP tells guests to boot from. */
  readonly bootFile?: string | undefined
}

export interface OpenNetworks extends Networks {
  /** Resolves when nothing of them is left. */
  close(): Promise<void>
}

export function openNetworks(
  surroundings: Surroundings, options: NetworkOptions,
): OpenNetworks {
  const bridge = defaultBridge(surroundings, options)
  const host = {
    run: runIfThere, listenForFrames, openCapture, openTap: tapWire, ...surroundings.toolstack,
  }
  const openVswitch = new OpenVswitch(host)
  const networks = new HostNetworks(new Map([[DEFAULT_BRIDGE, bridge]]), openVswitch, host)
  return {
    station: (wish) => networks.station(wish),
    close: async () => {
      bridge.close()
      await openVswitch.settled()
    },
  }
}

/** The bridge that every host has: with a way out, and without anybody's leave. */
function defaultBridge(
  { now, randomWord, readBelow, toolstack }: Surroundings, options: NetworkOptions,
): Bridge {
  const { delay, log, wallClockMs } = toolstack
  const { tftpFolder, bootFile } = options
  return new Bridge({
    timers: { now, after: delay }, hostNet, log, wallClockMs, random: randomWord, openCapture,
    bootFile: tftpFolder === undefined ? undefined : (name) => readBelow(tftpFolder, name),
  }, { ...defaultNetwork, bootFile })
}

/** A TAP device, which takes frames as they are. */
function tapWire(name: string, receive: (frame: Frame) => void): Wire {
  const tap = openTap(name, (packet) => {
    const frame = readVnetHeader(packet)
    if (frame) receive(frame)
  })
  return {
    send: (frame) => {
      for (const packet of withVnetHeader(frame)) tap.send(packet)
    },
    close: () => tap.close(),
  }
}

/** A stream of frames that others connect to. */
async function listenForFrames(
  name: string, receive: (frame: Frame) => void,
): Promise<StreamWire> {
  const stream = await listenForStream(name, () => {
    const reader = new FrameReader()
    return (bytes) => reader.take(bytes, (frame) => receive({ bytes: frame }))
  })
  return {
    path: stream.path, connected: stream.connected, close: () => stream.close(),
    send: (frame) => {
      for (const { bytes } of wireFrames(frame)) {
        const message = lengthPrefixed(bytes)
        if (message) stream.write(message)
      }
    },
  }
}
