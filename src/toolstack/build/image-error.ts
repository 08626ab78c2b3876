/**
 * What is wrong with a kernel, a ramdisk or a wish for a domain's image, in words for its owner.
 */
export type ImageProblem =
  | 'not a kernel'
  | 'truncated'
  | 'corrupt'
  | 'unsupported'
  | 'no PVH entry'
  | 'too little memory'

/** Thrown when a domain cannot be built from the files given. */
export class ImageError extends Error {
  override readonly name = 'ImageError'
  readonly problem: ImageProblem

  constructor(problem: ImageProblem, message: string, options?: ErrorOptions) {
    super(message, options)
    this.problem = problem
  }
}
