/**
 * A SharedArrayBuffer seen by one thread: the views through which its words and bytes are reached.
 */
export class Region {
  readonly buffer: SharedArrayBuffer
  readonly bytes: DataView
  readonly octets: Uint8Array
  /** Signed words, for Atomics. */
  readonly cells: Int32Array
  readonly words: Uint32Array

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.bytes = new DataView(buffer)
    this.octets = new Uint8Array(buffer)
    this.cells = new Int32Array(buffer)
    this.words = new Uint32Array(buffer)
  }
}
