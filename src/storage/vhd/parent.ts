/**
 * Where a differencing disk says that its parent is.
 */
import type { HostFile } from '../../base/host-file.ts'
import {
  corrupt, Header, type HeaderView, LOCATOR_ABSOLUTE, LOCATOR_RELATIVE, LOCATOR_URL,
} from './format.ts'

const LOCATORS = 8
const MAX_PATH_BYTES = 4096

/** The names under which the parent may be found, the best first. */
export async function parentNames(file: HostFile, header: HeaderView): Promise<string[]> {
  const names: [number, string][] = []
  for (let i = 0; i < LOCATORS; i++) {
    const locator = header.locators.item(i)
    const { platform_code: code, platform_data_length: length } = locator
    if (![LOCATOR_RELATIVE, LOCATOR_ABSOLUTE, LOCATOR_URL].includes(code)) continue
    if (length > MAX_PATH_BYTES) throw corrupt('a parent locator is too long')
    const bytes = new Uint8Array(length)
    await file.read(locator.platform_data_offset, bytes)
    const name = code === LOCATOR_URL ? pathOfUrl(new TextDecoder().decode(bytes))
      : pathOfWindows(new TextDecoder('utf-16le').decode(bytes))
    if (name) names.push([[LOCATOR_RELATIVE, LOCATOR_URL, LOCATOR_ABSOLUTE].indexOf(code), name])
  }
  names.sort(([a], [b]) => a - b)
  const plain = new TextDecoder('utf-16be').decode(nameBytes(header)).replace(/\0.*$/s, '')
  return [...names.map(([, name]) => name), ...plain === '' ? [] : [pathOfWindows(plain) ?? plain]]
}

function nameBytes(header: HeaderView): Uint8Array {
  const { offsets } = Header
  return Uint8Array.from({ length: 512 },
    (_, i) => header.bytes.getUint8(header.position + offsets.parent_unicode_name + i))
}

/** A path of ours, unless it begins with a drive. */
function pathOfWindows(text: string): string | undefined {
  const path = text.replace(/\0.*$/s, '')
  return path === '' || /^[A-Za-z]:/.test(path) ? undefined : path.replaceAll('\\', '/')
}

function pathOfUrl(text: string): string | undefined {
  const path = text.replace(/\0.*$/s, '').replace(/^file:\/\/(localhost(?=\/))?/, '')
  try {
    return path === '' ? undefined : decodeURIComponent(path)
  } catch {
    return path
  }
}

/** Contents of the locators for a parent at `path`, relative to the child: [code, bytes]. */
export function locatorsFor(path: string): [number, Uint8Array][] {
  const relative = path.startsWith('/') || path.startsWith('.') ? path : `./${path}`
  return [
    [LOCATOR_URL, new TextEncoder().encode(`file://${encodeURI(relative)}`)],
    [relative.startsWith('/') ? LOCATOR_ABSOLUTE : LOCATOR_RELATIVE,
      utf16(relative.replaceAll('/', '\\'), true)],
  ]
}

export function utf16(text: string, littleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(text.length * 2)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < text.length; i++) view.setUint16(i * 2, text.charCodeAt(i), littleEndian)
  return bytes
}
