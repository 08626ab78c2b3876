/**
 * What a boot loader's configuration offers: entries, and which one to take.
 */
export interface BootEntry {
  readonly title: string
  /** Paths in the file system that the configuration is in, or in that of `partition`. */
  readonly kernel?: string
  readonly args: string
  readonly ramdisks: readonly string[]
}

export interface BootConfig {
  readonly entries: readonly BootEntry[]
  readonly defaultIndex: number
}

/** An entry being read. */
export interface OpenEntry {
  title: string
  kernel?: string
  args: string
  ramdisks: string[]
}

/** A path without the device that GRUB may name before it: `(hd0,1)/vmlinuz`, `($root)/vmlinuz`. */
export function withoutDevice(path: string): string {
  return path.replace(/^\([^)]*\)/, '')
}

/** The default of a configuration that names it by a number; names and `saved` are the first. */
export function defaultIndexOf(value: string): number {
  return /^\d+$/.test(value) ? Number(value) : 0
}
