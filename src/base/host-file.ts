/**
 * Files and block devices of the host as they are injected: by position, asynchronous, locked.
 *
 * Buffers may be views of shared memory. The caller leaves a buffer alone until its promise
 * settles.
 */

export type HostFileProblem =
  | 'not found' | 'exists' | 'denied' | 'locked' | 'no space' | 'not a file' | 'failed'

/** What the host said when it could not do what was asked; the message names the file. */
export class HostFileError extends Error {
  override readonly name = 'HostFileError'
  readonly problem: HostFileProblem

  constructor(problem: HostFileProblem, message: string, options?: ErrorOptions) {
    super(message, options)
    this.problem = problem
  }
}

/** Bytes for a place in a file. */
export interface Piece {
  readonly at: number
  readonly bytes: Uint8Array
}

/** An open file; whoever has it open for writing is the only one who does. */
export interface HostFile {
  readonly path: string
  readonly writable: boolean
  /** A block device has a size of its own: it neither grows nor has holes. */
  readonly isDevice: boolean
  /** As of opening, and moved by what is done through this object. */
  readonly sizeBytes: number
  /** Reads until `into` is full or the file ends; the number of bytes read. */
  read(at: number, into: Uint8Array): Promise<number>
  /** Writes all of `from`, beyond the end too. */
  write(at: number, from: Uint8Array): Promise<void>
  /**
   * As `read`, into pieces one after the other, and before it returns: if that is likely to take no
   * longer than a copy in memory. Undefined, and nothing done, if not.
   */
  readNow(at: number, into: readonly Uint8Array[]): number | undefined
  /** As `write`, in the manner of `readNow`; false, and nothing done, if it is not likely. */
  writeNow(at: number, from: readonly Uint8Array[]): boolean
  /**
   * Writes small pieces in the order given with as little time between them as the host can do, so
   * that a sudden death seldom falls in between. After an error any first part may be written.
   */
  writeInOrder(pieces: readonly Piece[]): Promise<void>
  /** What was written is on stable storage when this settles. */
  flush(): Promise<void>
  truncate(sizeBytes: number): Promise<void>
  /** Frees the space of a range that then reads as zeros; false, and nothing done, if it cannot. */
  punchHole(at: number, lengthBytes: number): Promise<boolean>
  close(): Promise<void>
}

export interface HostFiles {
  /** Opens what is there; `write` takes the lock alone, `read` shares it with other readers. */
  open(path: string, access: 'read' | 'write'): Promise<HostFile>
  /** Opens for writing a file that is made, or emptied once its lock is taken. */
  create(path: string): Promise<HostFile>
  /** What `named` means when it stands in the file `path`: relative names are beside it. */
  resolve(path: string, named: string): string
  /** How a file beside `path` is named in it, relative to its folder. */
  relative(path: string, target: string): string
}
