/**
 * What a boot loader's configuration offers: entries, which one to take, and after what time.
 */
export interface BootEntry {
  readonly title: string
  /** What the entry says, line by line, as it is written. */
  readonly lines: readonly string[]
  /** Paths in the file system that the configuration is in, or in that of `partition`. */
  readonly kernel?: string
  readonly args: string
  readonly ramdisks: readonly string[]
}

export interface BootConfig {
  readonly entries: readonly BootEntry[]
  readonly defaultIndex: number
  /** How long a menu shall wait before it takes the default; undefined when that is not said, or
   * if for ever. */
  readonly timeoutSeconds: number | undefined
  /** Whether a password is needed to boot anything but the entries as they are. */
  readonly isLocked: boolean
  /** An entry as its lines have it, which may be another's than the configuration's author. */
  read(title: string, lines: readonly string[]): BootEntry
  /** Which of an entry's lines has the kernel's arguments, or could have them; -1 for none. */
  argumentsLine(lines: readonly string[]): number
}

/** An entry being read. */
export interface OpenEntry {
  title: string
  lines: string[]
  kernel?: string
  args: string
  ramdisks: string[]
}

export function openEntry(title: string): OpenEntry {
  return { title, lines: [], args: '', ramdisks: [] }
}

/** A path without the device that GRUB may name before it: `(hd0,1)/vmlinuz`, `($root)/vmlinuz`. */
export function withoutDevice(path: string): string {
  return path.replace(/^\([^)]*\)/, '')
}

/** The default of a configuration that names it by a number; names and `saved` are the first. */
export function defaultIndexOf(value: string): number {
  return /^\d+$/.test(value) ? Number(value) : 0
}

const MOST_SECONDS = 1e9

/** A timeout in GRUB's words: seconds, or a negative number for none; `before` if it is neither. */
export function timeoutOf(value: string, before: number | undefined): number | undefined {
  if (!/^-?\d+$/.test(value)) return before
  return value.startsWith('-') ? undefined : Math.min(Number(value), MOST_SECONDS)
}
