/**
 * One disk of an xl.cfg's `disk`, or of `xl block-attach`.
 *
 * Obeys xl-disk-configuration(5); messages are those of real xl 4.17. Values stand at their places
 * or by name; deprecated prefixes of the target (`file:`, `tap2:vhd:`) are understood. Names of
 * devices become numbers by Xen's vbd-interface(7). Ours is `sector-size`: what the guest is told
 * of a disk's sectors, 512 or 4096 bytes. COLO's keys are left out.
 */

export const DISK_FORMATS = ['raw', 'qcow', 'qcow2', 'vhd', 'qed', 'empty'] as const
export const DISK_BACKENDS = ['phy', 'tap', 'qdisk', 'standalone'] as const

/** Ways in which a disk may be presented. */
export const DISK_SPECIFICATIONS = ['xen', 'virtio'] as const
export const DISK_SECTORS = [512, 4096] as const

export type DiskFormat = typeof DISK_FORMATS[number]
export type DiskBackendType = typeof DISK_BACKENDS[number]

/** A disk as configured. */
export interface DiskSpec {
  /** Missing for a drive without a medium. */
  readonly path?: string | undefined
  readonly vdev: string
  readonly format: DiskFormat
  readonly backend?: DiskBackendType | undefined
  readonly backendDomain?: string | undefined
  readonly script?: string | undefined
  readonly writable: boolean
  readonly removable: boolean
  readonly isCdrom: boolean
  readonly directIoSafe: boolean
  readonly discard?: boolean | undefined
  readonly specification?: typeof DISK_SPECIFICATIONS[number] | undefined
  readonly sectorBytes?: typeof DISK_SECTORS[number] | undefined
}

/** What is wrong with a specification, in xl's words. */
export class DiskSpecError extends Error {
  override readonly name = 'DiskSpecError'

  constructor(whole: string, what: string, near?: string) {
    const where = near === undefined ? ` in \`${whole}'` : `: near \`${near}' in \`${whole}'`
    super(`config parsing error in disk specification: ${what}${where}`)
  }
}

type Draft = { -readonly [K in keyof DiskSpec]?: DiskSpec[K] }

const FORMAT_PREFIX = /^(raw|qcow2?|vhd):/
const PLAIN_PREFIX = /^(tapdisk|tap2?|aio|ioemu|file|phy):/
const SCRIPT_PREFIX = /^(iscsi|e?nbd|drbd):/
const PLACES = ['path', 'format', 'vdev', 'access'] as const
const ACCESS: Readonly<Record<string, boolean>> = { r: false, ro: false, w: true, rw: true }

export function parseDisk(whole: string): DiskSpec {
  return new Parser(whole).parse()
}

class Parser {
  readonly #whole: string
  readonly #draft: Draft = {}
  #access: boolean | undefined
  #place = 0

  constructor(whole: string) {
    this.#whole = whole
  }

  parse(): DiskSpec {
    let rest = this.#prefixes(this.#whole)
    while (rest !== '') {
      rest = rest.replace(/^\s+/, '')
      if (rest.startsWith('target=')) {
        this.#string('path', 'target', rest.slice('target='.length))
        break
      }
      const comma = rest.indexOf(',')
      const word = comma < 0 ? rest : rest.slice(0, comma)
      this.#word(word, comma < 0 ? word : `${word},`)
      rest = comma < 0 ? '' : rest.slice(comma + 1)
    }
    return this.#finish()
  }

  /** What precedes the target in the way of former toolstacks. */
  #prefixes(text: string): string {
    for (let rest = text; ;) {
      const format = FORMAT_PREFIX.exec(rest)
      const script = SCRIPT_PREFIX.exec(rest)
      const plain = PLAIN_PREFIX.exec(rest)
      const found = format ?? script ?? plain
      if (!found) {
        const unknown = /^[a-z][a-z0-9]*:/.exec(rest)
        if (unknown) this.#fail('unknown deprecated disk prefix', unknown[0])
        return rest
      }
      // A target with a prefix has no place for a format behind it.
      this.#draft.format ??= 'raw'
      if (format) this.#format(format[1] ?? '')
      if (script) this.#draft.script = `block-${script[1]}`
      rest = rest.slice(found[0].length)
    }
  }

  #word(word: string, raw: string): void {
    switch (word) {
      case 'cdrom': case 'devtype=cdrom': return this.#cdrom()
      case 'devtype=disk':
        this.#draft.isCdrom = false
        this.#draft.removable = false
        return
      case 'discard': this.#draft.discard = true; return
      case 'no-discard': this.#draft.discard = false; return
      case 'direct-io-safe': this.#draft.directIoSafe = true; return
    }
    const equals = word.indexOf('=')
    if (equals < 0) return this.#positional(word)
    const value = word.slice(equals + 1)
    switch (word.slice(0, equals)) {
      case 'format':
        if (this.#draft.format) return this.#fail('format respecified', value)
        return this.#format(value)
      case 'vdev': return this.#vdev(value)
      case 'access': return this.#setAccess(value)
      case 'devtype': return this.#fail('unknown value for type', word)
      case 'backend': return this.#string('backendDomain', 'backend', value)
      case 'script': return this.#string('script', 'script', value)
      case 'backendtype':
        if (this.#draft.backend) return this.#fail('backend respecified', value)
        this.#draft.backend = this.#oneOf(DISK_BACKENDS, 'backendtype', value)
        return
      case 'specification':
        this.#draft.specification = this.#oneOf(DISK_SPECIFICATIONS, 'specification', value)
        return
      case 'sector-size':
        this.#draft.sectorBytes = this.#oneOf(DISK_SECTORS, 'sector-size', value)
        return
      default: return this.#fail('unknown parameter', raw)
    }
  }

  /** The next place that nothing has been said for. */
  #positional(word: string): void {
    const set = { ...this.#draft, access: this.#access }
    while (this.#place > 0 && this.#place < PLACES.length && set[PLACES[this.#place]!]) {
      this.#place++
    }
    if (this.#place === 0 && this.#draft.path) this.#place++
    const place = PLACES[this.#place++]
    if (place === undefined && word !== '') this.#fail('too many positional parameters', word)
    if (place === 'path') this.#draft.path = word
    else if (word === '') return
    else if (place === 'format') this.#format(word)
    else if (place === 'vdev') this.#vdev(word)
    else this.#setAccess(word)
  }

  #format(name: string): void {
    this.#draft.format = name === '' ? 'raw' : this.#oneOf(DISK_FORMATS, 'format', name)
  }

  #oneOf<T extends string | number>(known: readonly T[], key: string, value: string): T {
    const found = known.find((one) => `${one}` === value)
    return found ?? this.#fail(`unknown value for ${key}`, value)
  }

  #vdev(text: string): void {
    const [name = '', type] = text.split(':')
    if (type === 'cdrom') this.#cdrom()
    else if (type !== undefined && type !== 'disk') this.#fail('unknown deprecated type', type)
    this.#string('vdev', 'vdev', name)
  }

  #setAccess(text: string): void {
    const access = ACCESS[text]
    if (access === undefined) this.#fail('unknown value for access', text)
    this.#access = access
  }

  #cdrom(): void {
    this.#draft.isCdrom = true
    this.#draft.removable = true
  }

  #string(field: 'path' | 'vdev' | 'script' | 'backendDomain', name: string, value: string): void {
    if (this.#draft[field]) this.#fail(`${name} respecified`, value)
    this.#draft[field] = value
  }

  #finish(): DiskSpec {
    const { path, vdev, ...rest } = this.#draft
    if (!vdev) throw new DiskSpecError(this.#whole, 'no vdev specified')
    const removable = rest.removable ?? false
    const isCdrom = rest.isCdrom ?? false
    if (path === undefined && !removable) {
      throw new DiskSpecError(this.#whole, 'no target specified (and device not removable)')
    }
    const format = isCdrom && !path ? 'empty' : rest.format ?? 'raw'
    return {
      ...rest, ...path === undefined ? {} : { path }, vdev, format, removable, isCdrom,
      writable: !isCdrom && (this.#access ?? true), directIoSafe: rest.directIoSafe ?? false,
    }
  }

  #fail(what: string, near: string): never {
    throw new DiskSpecError(this.#whole, what, near)
  }
}

/** Majors of the numbers that have room for few disks only. */
const XVD = 202 << 8
const IDE = [3 << 8, 22 << 8] as const
const SCSI = 8 << 8
const EXTENDED = 1 << 28
const MOST_DISKS = 1 << 20

/** A device's number by its name, or the number itself; undefined when it means none. */
export function diskNumber(vdev: string): number | undefined {
  const plain = /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.exec(vdev)
  if (plain) return Number(vdev) < 2 ** 31 ? Number(vdev) : undefined
  const short = /^d(\d{1,7})(?:p(\d{1,3}))?$/.exec(vdev)
  if (short) return xenNumber(Number(short[1]), Number(short[2] ?? 0))
  const named = /^(xvd|hd|sd)([a-z]{1,5})(\d{0,3})$/.exec(vdev)
  if (!named) return undefined
  const disk = [...named[2]!].reduce((sum, c) => sum * 26 + c.charCodeAt(0) - 96, 0) - 1
  const partition = Number(named[3] ?? 0)
  switch (named[1]) {
    case 'hd':
      return disk < 4 && partition < 64
        ? IDE[disk >> 1]! | (disk & 1) << 6 | partition : undefined
    case 'sd':
      return disk < 16 && partition < 16 ? SCSI | disk << 4 | partition : undefined
    default:
      return xenNumber(disk, partition)
  }
}

function xenNumber(disk: number, partition: number): number | undefined {
  if (disk < 16 && partition < 16) return XVD | disk << 4 | partition
  return disk < MOST_DISKS && partition < 256 ? EXTENDED | disk << 8 | partition : undefined
}
