/**
 * A file that captured frames are appended to, behind the back of whoever captures.
 *
 * What a disk cannot take in time is left out, so that memory is bounded; so is all after an error.
 */
import { createWriteStream, openSync } from 'node:fs'
import { wordsOf } from './files.ts'

const BUFFER_BYTES = 4 * 1024 * 1024

/** Begins the file anew; throws when it cannot be written. */
export function openCapture(path: string): {
  append(bytes: Uint8Array): void
  close(): void
} {
  let fd: number
  try {
    fd = openSync(path, 'w', 0o600)
  } catch (cause) {
    throw new Error(`${path}: ${wordsOf(cause as NodeJS.ErrnoException)}`, { cause })
  }
  const stream = createWriteStream('', { fd })
  let open = true
  const end = (): void => void (open = false)
  stream.on('error', end)
  return {
    append: (bytes) => {
      if (open && stream.writableLength + bytes.length <= BUFFER_BYTES) stream.write(bytes)
    },
    close: () => {
      end()
      stream.end()
    },
  }
}
