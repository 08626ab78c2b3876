/**
 * What is wrong with a disk image, or with a request to one, in words for its owner.
 *
 * Errors of the host (full disk, failed reads) are HostFileErrors and pass through unchanged.
 */
export type StorageProblem =
  /** The image contradicts its format. */
  | 'corrupt'
  /** The image is well formed but asks for what is not implemented. */
  | 'unsupported'
  /** A request outside the disk, not in whole sectors, or with an impossible size. */
  | 'invalid'
  | 'read-only'
  /** No image, snapshot or file system of the wanted kind. */
  | 'not found'
  /** A directory where a file is wanted, or the other way round. */
  | 'wrong kind'

export class StorageError extends Error {
  override readonly name = 'StorageError'
  readonly problem: StorageProblem

  constructor(problem: StorageProblem, message: string, options?: ErrorOptions) {
    super(message, options)
    this.problem = problem
  }
}
