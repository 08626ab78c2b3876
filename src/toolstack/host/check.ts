/**
 * Checks of values that came over the socket.
 */
import { recordOf } from './protocol.ts'

export type Check = (value: unknown) => boolean

export const text: Check = (value) => typeof value === 'string' && !value.includes('\0')
export const flag: Check = (value) => typeof value === 'boolean'
export const within = (low: number, high: number): Check => (value) =>
  Number.isSafeInteger(value) && (value as number) >= low && (value as number) <= high
export const oneOf = (known: readonly unknown[]): Check => (value) => known.includes(value)
export const matching = (pattern: RegExp): Check => (value) =>
  typeof value === 'string' && pattern.test(value)
export const listOf = (check: Check, most: number): Check => (value) =>
  Array.isArray(value) && value.length <= most && value.every(check)
/** As JSON has it, null stands for what was left out. */
export const optional = (check: Check): Check => (value) =>
  value === undefined || value === null || check(value)
/** An object whose fields pass their checks. */
export const fields = (checks: Readonly<Record<string, Check>>): Check => (value) => {
  const record = recordOf(value)
  return record !== undefined &&
    Object.entries(checks).every(([name, check]) => check(record[name]))
}
