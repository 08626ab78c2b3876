/**
 * Frames of an interface, captured into a file of the host as pcapng.
 */
import { pcapngPacket, pcapngStart } from './pcapng.ts'

/** Frames are captured up to this length, as by tcpdump. */
const SNAP_LENGTH = 262_144

/** A file that what is captured is appended to. */
export interface CaptureFile {
  append(bytes: Uint8Array): void
  close(): void
}

export interface CaptureWorld {
  /** Milliseconds since 1970. */
  wallClockMs(): number
  /** Begins a file of captured frames; throws when it cannot be written. */
  openCapture(path: string): CaptureFile
}

export interface Capture {
  /** Takes a frame that goes in or out, as it looks on a wire. */
  take(bytes: Uint8Array): void
  close(): void
}

/** Begins a capture; throws when its file cannot be written. */
export function startCapture(world: CaptureWorld, path: string): Capture {
  const file = world.openCapture(path)
  file.append(pcapngStart(SNAP_LENGTH))
  return {
    take: (bytes) => file.append(pcapngPacket(bytes, world.wallClockMs(), SNAP_LENGTH)),
    close: () => file.close(),
  }
}
