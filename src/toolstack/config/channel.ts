/**
 * One channel of an xl.cfg's `channel`: a console beside the first, with a name by which programs
 * in the guest find it.
 *
 * Obeys xl.cfg(5) and xen-pv-channel(7); messages are those of real xl 4.17. The back-end is always
 * the control domain's.
 */

export interface ChannelSpec {
  readonly name: string
  /** Where its other end is: at `xl console -n`, or a socket of that path. */
  readonly connection: 'pty' | 'socket'
  readonly path?: string | undefined
}

/** What is wrong with a channel, in xl's words. */
export class ChannelError extends Error {
  override readonly name = 'ChannelError'
}

/** Reads `connection=socket,path=/p,name=n`; `warn` is told of what is passed over. */
export function parseChannel(
  text: string, devid: number, warn: (line: string) => void,
): ChannelSpec {
  const values = new Map<string, string>()
  for (const part of text.split(',')) {
    const [, key = '', value = ''] = /^\s*([^=]*?)\s*=\s*(.*?)\s*$/.exec(part) ?? []
    if (key === '') throw new ChannelError(`failed to parse channel configuration: ${part}`)
    if (['backend', 'name', 'connection', 'path'].includes(key)) values.set(key, value)
    else warn(`unknown channel parameter '${key}', ignoring`)
  }
  const connection = values.get('connection')
  const path = values.get('path')
  const name = values.get('name')
  const backend = values.get('backend')
  if (connection === undefined) throw new ChannelError("channel has unknown 'connection'")
  if (connection !== 'pty' && connection !== 'socket') {
    throw new ChannelError(`unknown channel connection '${connection}'`)
  }
  if (connection === 'socket' && !path) {
    throw new ChannelError("channel connection 'socket' requires path=..")
  }
  if (!name) throw new ChannelError(`channel ${devid} has no name`)
  if (backend !== undefined && !['0', 'Domain-0'].includes(backend)) {
    throw new ChannelError(`channel ${devid}: driver domains (backend=) are not supported yet`)
  }
  return { name, connection, ...connection === 'socket' ? { path } : {} }
}
