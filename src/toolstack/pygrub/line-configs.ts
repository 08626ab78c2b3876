/**
 * menu.lst of GRUB Legacy, and the configurations of the Syslinux family: a directive a line.
 */
import {
  type BootConfig, defaultIndexOf, type OpenEntry, withoutDevice,
} from './boot-config.ts'

/** The directives of a text: a word in lower case, and the rest of the line. */
function directives(text: string): [string, string][] {
  return text.split('\n').map((line) => line.trim()).filter((line) => /^[^#]/.test(line))
    .map((line) => {
      const [, name = '', value = ''] = /^([^\s=]+)(?:\s*=\s*|\s+)?(.*)$/s.exec(line) ?? []
      return [name.toLowerCase(), value]
    })
}

/** The first word of a text, and the rest. */
function split(text: string): [string, string] {
  const [, first = '', rest = ''] = /^(\S*)\s*(.*)$/s.exec(text) ?? []
  return [first, rest]
}

/** GRUB Legacy. `default saved`, for which there is no place to be saved in, is the first entry. */
export function parseMenuLst(text: string): BootConfig {
  const entries: OpenEntry[] = []
  let defaultIndex = 0
  for (const [name, value] of directives(text)) {
    const entry = entries.at(-1)
    if (name === 'title') entries.push({ title: value, args: '', ramdisks: [] })
    else if (name === 'default' && !entry) defaultIndex = defaultIndexOf(value)
    else if (name === 'kernel' && entry) {
      // Options of GRUB's own stand before the kernel.
      const [kernel, args] = split(value.replace(/^(?:--\S+\s+)+/, ''))
      entry.kernel = withoutDevice(kernel)
      entry.args = args
    } else if (name === 'initrd' && entry) {
      entry.ramdisks = [withoutDevice(split(value)[0])]
    }
  }
  return { entries, defaultIndex }
}

const APPENDED_RAMDISKS = /(^|\s)initrd=(\S+)/

/** Extlinux, isolinux, syslinux; names are relative to the configuration's folder. */
export function parseExtlinux(text: string, folder: string): BootConfig {
  const entries: OpenEntry[] = []
  let wanted = ''
  const pathOf = (name: string): string => name.startsWith('/') ? name : `${folder}/${name}`
  const namesIn = (value: string): string[] => value.split(',').map(pathOf)
  for (const [name, value] of directives(text)) {
    const entry = entries.at(-1)
    if (name === 'label') entries.push({ title: value, args: '', ramdisks: [] })
    else if (name === 'default' && !entry) wanted = value
    else if ((name === 'kernel' || name === 'linux') && entry) entry.kernel = pathOf(value)
    else if (name === 'initrd' && entry) entry.ramdisks = namesIn(value)
    else if (name === 'append' && entry) {
      const [, , appended] = APPENDED_RAMDISKS.exec(value) ?? []
      if (appended !== undefined) entry.ramdisks = namesIn(appended)
      entry.args = value.replace(APPENDED_RAMDISKS, '$1').trim()
    }
  }
  const defaultIndex = entries.findIndex(({ title }) => title === wanted)
  return { entries, defaultIndex: Math.max(0, defaultIndex) }
}
