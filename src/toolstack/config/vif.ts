/**
 * The items of `vif=[...]`: one PV network interface each.
 *
 * Obeys xl-network-configuration(5); the messages are those of real xl 4.17. It differs where xl
 * goes on with half of what was meant: an address, a type or a rate that is none is refused. Ours
 * are `forward`: a port of the host's loopback that leads to one of the guest ("tcp:8080:80"), and
 * may be given again; `capture`: a file for all frames that the interface sends and gets.
 */

/** An interface as configured; what is missing is chosen when the domain is made. */
export interface VifSpec {
  readonly devid?: number | undefined
  readonly mac?: string | undefined
  readonly bridge?: string | undefined
  readonly script?: string | undefined
  readonly ip?: string | undefined
  readonly vifname?: string | undefined
  /** "vif", or "ioemu" for one with an emulated twin. */
  readonly type?: 'vif' | 'ioemu' | undefined
  readonly model?: string | undefined
  readonly gatewaydev?: string | undefined
  readonly backend?: string | undefined
  readonly mtu?: number | undefined
  readonly trusted?: boolean | undefined
  readonly rate?: VifRate | undefined
  readonly forwards?: readonly string[] | undefined
  /** A pcapng file that is made anew. */
  readonly capture?: string | undefined
}

export interface VifRate {
  readonly bytes: number
  readonly intervalUs: number
}

/** An interface that cannot be meant. */
export class VifError extends Error {
  override readonly name = 'VifError'
  /** Whether the message begins with what was read, as libxlu's do. */
  readonly #isLocated: boolean

  constructor(message: string, isLocated = false) {
    super(message)
    this.#isLocated = isLocated
  }

  /** The line that real xl prints of what was read from `source`. */
  lineFor(source: string): string {
    return this.#isLocated ? `${source}: ${this.message}` : this.message
  }
}

const MAC = /^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i
const DEFAULT_INTERVAL_US = 50_000
const UINT32_MAX = 0xffff_ffff
const LEAST_MTU = 68
const MOST_MTU = 65535

/** Reads one item; `warn` hears of what is not understood and left out. */
export function parseVif(text: string, warn: (line: string) => void): VifSpec {
  const spec: { -readonly [K in keyof VifSpec]: VifSpec[K] } = {}
  const forwards: string[] = []
  for (const part of text.split(',')) {
    const token = part.trimStart()
    if (token === '') continue
    const equals = token.indexOf('=')
    const name = equals < 0 ? token : token.slice(0, equals)
    const value = equals < 0 ? '' : token.slice(equals + 1).trim()
    const known = equals >= 0 && Object.hasOwn(KEYS, name) ? KEYS[name] : undefined
    if (name === 'forward' && equals >= 0) forwards.push(forwardOf(value))
    else if (name === 'accel') warn('the accel parameter for vifs is currently not supported')
    else if (known) Object.assign(spec, known(value))
    else warn(`unrecognized argument \`${token}'`)
  }
  return forwards.length > 0 ? { ...spec, forwards } : spec
}

const KEYS: Readonly<Record<string, (value: string) => VifSpec>> = {
  mac: (value) => {
    if (!MAC.test(value)) throw new VifError('Invalid parameter `mac\'.')
    const parts = value.toLowerCase().split(':').map((part) => part.padStart(2, '0'))
    return { mac: parts.join(':') }
  },
  bridge: (bridge) => ({ bridge }),
  script: (script) => ({ script }),
  ip: (ip) => ({ ip }),
  vifname: (vifname) => ({ vifname }),
  model: (model) => ({ model }),
  gatewaydev: (gatewaydev) => ({ gatewaydev }),
  backend: (backend) => ({ backend }),
  type: (value) => {
    if (value !== 'vif' && value !== 'ioemu') throw new VifError('Invalid parameter `type\'.')
    return { type: value }
  },
  devid: (value) => ({ devid: numberOf(value, 0, 0xffff) }),
  mtu: (value) => ({ mtu: numberOf(value, LEAST_MTU, MOST_MTU) }),
  trusted: (value) => ({ trusted: numberOf(value, 0, 1) === 1 }),
  rate: (value) => ({ rate: parseRate(value) }),
  capture: (capture) => {
    if (!capture.startsWith('/')) throw new VifError(`capture "${capture}" is no absolute path`)
    return { capture }
  },
}

function numberOf(value: string, least: number, most: number): number {
  const number = Number(value)
  if (/^\d+$/.test(value) && number >= least && number <= most) return number
  if (!/^\d+$/.test(value)) throw new VifError(`xl: failed to convert "${value}" to number`)
  throw new VifError(`xl: ${value} is not from ${least} to ${most}`)
}

/** "10Mb/s", "250KB/s@20ms": bits or bytes a second, and how often credit is given. */
function parseRate(text: string): VifRate {
  const [speed = '', interval] = text.split('@', 2)
  const match = /^(\d{1,15})([KMG]?)([Bb])\/s$/.exec(speed)
  const fail = (what: string, where: string): never => {
    throw new VifError(`config parsing error in vif: ${what} in \`${where}'`, true)
  }
  if (!match) return fail('invalid rate', speed)
  const time = interval === undefined ? undefined : /^(\d{1,9})([mu]?)s$/.exec(interval)
  if (time === null) return fail('invalid replenishment interval', interval ?? '')
  const [, amount, factor = '', unit] = match
  const bytesASecond = Number(amount) * { '': 1, K: 1e3, M: 1e6, G: 1e9 }[factor]! /
    (unit === 'b' ? 8 : 1)
  const intervalUs = time === undefined
    ? DEFAULT_INTERVAL_US : Number(time[1]) * { '': 1e6, m: 1e3, u: 1 }[time[2] ?? '']!
  if (intervalUs === 0 || intervalUs > UINT32_MAX) {
    return fail('invalid replenishment interval', interval ?? '')
  }
  const bytes = Math.floor(bytesASecond * intervalUs / 1e6)
  if (bytes < 1 || bytes > UINT32_MAX) return fail('rate overflow', speed)
  return { bytes, intervalUs }
}

function forwardOf(value: string): string {
  const match = /^(?:(tcp|udp):)?(\d{1,5}):(\d{1,5})$/.exec(value)
  const fits = (port: string | undefined): boolean => Number(port) >= 1 && Number(port) <= 65535
  if (!match || !fits(match[2]) || !fits(match[3])) {
    throw new VifError(`invalid forward "${value}": PROTOCOL:HOSTPORT:GUESTPORT is meant`)
  }
  return `${match[1] ?? 'tcp'}:${Number(match[2])}:${Number(match[3])}`
}
