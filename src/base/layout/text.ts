/**
 * C strings in byte arrays: NUL-terminated, Latin-1.
 */
import type { ScalarArray } from './struct.ts'

/** The text before the first NUL, or the whole array. */
export function readText(array: ScalarArray<number>): string {
  let text = ''
  for (let i = 0; i < array.length; i++) {
    const code = array.get(i)
    if (code === 0) break
    text += String.fromCharCode(code)
  }
  return text
}

/** Writes `text`, cut so that a NUL fits, and zeros after it. */
export function writeText(array: ScalarArray<number>, text: string): void {
  const last = array.length - 1
  for (let i = 0; i < array.length; i++) {
    array.set(i, i < last && i < text.length ? text.charCodeAt(i) & 0xff : 0)
  }
}
