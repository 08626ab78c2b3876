/**
 * menu.lst of GRUB Legacy, and the configurations of the Syslinux family: a directive a line.
 */
import {
  type BootConfig, type BootEntry, defaultIndexOf, openEntry, type OpenEntry, timeoutOf,
  withoutDevice,
} from './boot-config.ts'

/** A line that says something: a word in lower case, and the rest. */
interface Directive {
  readonly name: string
  readonly value: string
  readonly line: string
}

function directives(text: string): Directive[] {
  return text.split('\n').map((line) => line.trim()).filter((line) => /^[^#]/.test(line))
    .map((line) => {
      const [, name = '', value = ''] = /^([^\s=]+)(?:\s*=\s*|\s+)?(.*)$/s.exec(line) ?? []
      return { name: name.toLowerCase(), value, line }
    })
}

/** What a directive does to the entry that it is in. */
type Obey = (entry: OpenEntry, name: string, value: string) => void

function reading(obey: Obey): BootConfig['read'] {
  return (title, lines): BootEntry => {
    const entry = openEntry(title)
    for (const directive of directives(lines.join('\n'))) add(entry, directive, obey)
    return entry
  }
}

function add(entry: OpenEntry, { name, value, line }: Directive, obey: Obey): void {
  entry.lines.push(line)
  obey(entry, name, value)
}

/** The first word of a text, and the rest. */
function split(text: string): [string, string] {
  const [, first = '', rest = ''] = /^(\S*)\s*(.*)$/s.exec(text) ?? []
  return [first, rest]
}

const obeyMenuLst: Obey = (entry, name, value) => {
  if (name === 'kernel') {
    // Options of GRUB's own stand before the kernel.
    const [kernel, args] = split(value.replace(/^(?:--\S+\s+)+/, ''))
    entry.kernel = withoutDevice(kernel)
    entry.args = args
  } else if (name === 'initrd') {
    entry.ramdisks = [withoutDevice(split(value)[0])]
  }
}

/** GRUB Legacy. `default saved`, for which there is no place to be saved in, is the first entry. */
export function parseMenuLst(text: string): BootConfig {
  const entries: OpenEntry[] = []
  let defaultIndex = 0
  let timeoutSeconds: number | undefined
  let isLocked = false
  for (const directive of directives(text)) {
    const { name, value } = directive
    const entry = entries.at(-1)
    if (name === 'title') entries.push(openEntry(value))
    else if (entry) add(entry, directive, obeyMenuLst)
    else if (name === 'default') defaultIndex = defaultIndexOf(value)
    else if (name === 'timeout') timeoutSeconds = timeoutOf(value, timeoutSeconds)
    else if (name === 'password') isLocked = true
  }
  return {
    entries, defaultIndex, timeoutSeconds, isLocked, read: reading(obeyMenuLst),
    argumentsLine: (lines) => lines.findIndex((line) => /^kernel[\s=]/i.test(line)),
  }
}

const APPENDED_RAMDISKS = /(^|\s)initrd=(\S+)/

function extlinuxIn(folder: string): Obey {
  const pathOf = (name: string): string => name.startsWith('/') ? name : `${folder}/${name}`
  const namesIn = (value: string): string[] => value.split(',').map(pathOf)
  return (entry, name, value) => {
    if (name === 'kernel' || name === 'linux') entry.kernel = pathOf(value)
    else if (name === 'initrd') entry.ramdisks = namesIn(value)
    else if (name === 'append') {
      const [, , appended] = APPENDED_RAMDISKS.exec(value) ?? []
      if (appended !== undefined) entry.ramdisks = namesIn(appended)
      entry.args = value.replace(APPENDED_RAMDISKS, '$1').trim()
    }
  }
}

/** Tenths of a second; 0 is for ever. */
function extlinuxTimeout(value: string): number | undefined {
  return /^\d+$/.test(value) && Number(value) > 0 ? Math.ceil(Number(value) / 10) : undefined
}

/** Extlinux, isolinux, syslinux; names are relative to the configuration's folder. */
export function parseExtlinux(text: string, folder: string): BootConfig {
  const entries: OpenEntry[] = []
  const obey = extlinuxIn(folder)
  let wanted = ''
  let timeoutSeconds: number | undefined
  for (const directive of directives(text)) {
    const { name, value } = directive
    const entry = entries.at(-1)
    if (name === 'label') entries.push(openEntry(value))
    else if (entry) add(entry, directive, obey)
    else if (name === 'default') wanted = value
    else if (name === 'timeout') timeoutSeconds = extlinuxTimeout(value)
  }
  const defaultIndex = entries.findIndex(({ title }) => title === wanted)
  return {
    entries, defaultIndex: Math.max(0, defaultIndex), timeoutSeconds, isLocked: false,
    read: reading(obey),
    argumentsLine: (lines) => lines.findIndex((line) => /^append\s/i.test(line)),
  }
}
