/**
 * Reading files, with the system's words for what went wrong.
 */
import { constants } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
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

/** Reads what must be a file with an end: neither a device nor a pipe, which may have none. */
export async function readPlainFile(path: string): Promise<Uint8Array> {
  let handle
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stat = await handle.stat()
    if (!stat.isFile() && !stat.isDirectory()) throw new FileError('Not a plain file')
    return await handle.readFile()
  } catch (cause) {
    if (cause instanceof FileError) throw cause
    throw new FileError(wordsOf(cause as NodeJS.ErrnoException), { cause })
  } finally {
    await handle?.close()
  }
}

export function wordsOf(error: NodeJS.ErrnoException): string {
  const known = WORDS[error.code ?? '']
  if (known) return known
  const text = error.errno === undefined ? error.message : getSystemErrorMessage(error.errno)
  return text.charAt(0).toUpperCase() + text.slice(1)
}
