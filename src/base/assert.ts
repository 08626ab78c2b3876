/**
 * Our own mistakes: a failed assertion throws Bug, which nothing catches but the process's edge.
 */

/** Thrown when the code contradicts itself. Never the answer to a guest or to outside input. */
export class Bug extends Error {
  override readonly name = 'Bug'
}

/** Stops with `message` unless `condition` holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Bug(message)
}

/** Marks a place that the types say cannot be reached. */
export function unreachable(value: never): never {
  throw new Bug(`unreachable: ${String(value)}`)
}
