/**
 * A guest's interface on a wire to a switch that is not ours. VLANs, and what else is forwarded
 * where, are that switch's matter.
 */
import type { Capture } from './capture.ts'
import { ETHERNET_HEADER, type Frame, macAt } from './frame.ts'
import { MulticastFilter } from './multicast.ts'
import { wireFrames } from './offload.ts'
import type { Station } from './station.ts'
import { fitsMtu, type PortOptions, type SwitchPort } from './switch.ts'

/** One end of a wire. What it cannot take at once is lost. */
export interface Wire {
  send(frame: Frame): void
  close(): void
}

export class Uplink implements Station {
  #wire: Wire | undefined
  readonly #capture: Capture | undefined
  readonly #closed: () => void
  #receive: ((frame: Frame) => void) | undefined

  /** `closed` is called once the interface is gone. */
  constructor(capture: Capture | undefined, closed: () => void) {
    this.#capture = capture
    this.#closed = closed
  }

  /** The other end of the station; until then, what is sent is lost. */
  plug(wire: Wire): void {
    this.#wire = wire
  }

  /** A frame comes from the wire. */
  receive(frame: Frame): void {
    if (frame.bytes.length >= ETHERNET_HEADER) this.#receive?.(frame)
  }

  attach({ mtu }: PortOptions, deliver: (frame: Frame) => void): SwitchPort {
    const filter = new MulticastFilter()
    const receive = this.#receive = (frame: Frame): void => {
      if (!fitsMtu(mtu, frame) || !filter.wants(macAt(frame.bytes, 0))) return
      this.#note(frame)
      deliver(frame)
    }
    return {
      send: (frame) => {
        if (frame.bytes.length < ETHERNET_HEADER || !fitsMtu(mtu, frame)) return
        this.#note(frame)
        this.#wire?.send(frame)
      },
      controlMulticast: () => filter.control(),
      addGroup: (group) => filter.add(group),
      removeGroup: (group) => filter.remove(group),
      close: () => {
        if (this.#receive === receive) this.#receive = undefined
      },
    }
  }

  #note(frame: Frame): void {
    const capture = this.#capture
    if (capture) for (const { bytes } of wireFrames(frame)) capture.take(bytes)
  }

  close(): void {
    this.#receive = undefined
    this.#capture?.close()
    this.#wire?.close()
    this.#closed()
  }
}
