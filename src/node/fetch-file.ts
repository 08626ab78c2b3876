/**
 * Files of web servers.
 */
const TIMEOUT_MS = 60_000

/** The file at `url`, of at most so many bytes; rejects with what is wrong in words. */
export async function fetchFile(url: string, limitBytes: number): Promise<Uint8Array> {
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    .catch((cause: Error) => {
      const reason = cause.cause instanceof Error ? cause.cause.message : cause.message
      throw new Error(`${url}: ${reason}`, { cause })
    })
  if (!response.ok) {
    await response.body?.cancel()
    throw new Error(`${url}: ${response.status} ${response.statusText}`)
  }
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of response.body ?? []) {
    length += part.length
    if (length > limitBytes) throw new Error(`${url}: the file is too large`)
    parts.push(part)
  }
  return Uint8Array.from(Buffer.concat(parts, length))
}
