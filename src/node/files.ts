/**
 * Reading files, with the system's words for what went wrong.
 */
import { readFile } from 'node:fs/promises'
import { getSystemErrorMessage } from 'node:util'

/** A file that could not be read; the message is the system's, without the path. */
class FileError extends Error {
  override readonly name = 'FileError'
}

// libuv has words of its own for a few errors.
const WORDS: Readonly<Record<string, string>> = {
  EISDIR: 'Is a directory', ENOTDIR: 'Not a directory',
  ELOOP: 'Too many levels of symbolic links', ENAMETOOLONG: 'File name too long',
}

export async function readFileBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new FileError(wordsOf(cause as NodeJS.ErrnoException), { cause })
  }
}

function wordsOf(error: NodeJS.ErrnoException): string {
  const known = WORDS[error.code ?? '']
  if (known) return known
  const text = error.errno === undefined ? error.message : getSystemErrorMessage(error.errno)
  return text.charAt(0).toUpperCase() + text.slice(1)
}
