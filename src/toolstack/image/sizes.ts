/**
 * Sizes of disks as people write and read them.
 */
import { refuse } from './world.ts'

const UNITS = ['', 'K', 'M', 'G', 'T', 'P', 'E']
const SECTOR = 512

/** Bytes of `10G`, `1.5M`, `4096`; powers of 1024, and rounded up to whole sectors. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([bkmgtpe]?)$/i.exec(text)
  const unit = UNITS.indexOf((match?.[2] ?? '').toUpperCase().replace('B', ''))
  const bytes = match ? Number(match[1]) * 1024 ** unit : NaN
  if (!(bytes <= Number.MAX_SAFE_INTEGER - SECTOR)) {
    refuse(`'${text}' is no size: a number of bytes, or with K, M, G, T or P behind it`)
  }
  return Math.ceil(bytes / SECTOR) * SECTOR
}

export function formatSize(bytes: number): string {
  const unit = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10))
  const number = Number((bytes / 1024 ** unit).toPrecision(3))
  return `${number} ${unit === 0 ? 'B' : `${UNITS[unit]}iB`}`
}
