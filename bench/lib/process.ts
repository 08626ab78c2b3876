/**
 * What Linux says of a process: its CPU time and its memory.
 */
import { readdirSync, readFileSync } from 'node:fs'

const TICKS_A_SECOND = 100
const [UTIME, STIME, CHILDREN_UTIME, CHILDREN_STIME] = [11, 12, 13, 14]

/** CPU seconds of a process with all its threads, and of its children that have ended. */
export function cpuSecondsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ticks = [UTIME, STIME, CHILDREN_UTIME, CHILDREN_STIME]
    .reduce((sum, field) => sum + Number(fields[field]), 0)
  return ticks / TICKS_A_SECOND
}

/** CPU seconds, to the nanosecond, of those threads of a process that live, or only of those that
 * are called `name` and a number. */
export function threadSecondsOf(pid: number, name?: string): number {
  const folder = `/proc/${pid}/task`
  const called = (thread: string): string => readFileSync(`${folder}/${thread}/comm`, 'latin1')
  return readdirSync(folder)
    .filter((thread) => name === undefined || called(thread).startsWith(`${name} `))
    .map((thread) => Number(/^\d+/.exec(readFileSync(`${folder}/${thread}/schedstat`, 'latin1'))))
    .reduce((sum, nanoseconds) => sum + nanoseconds / 1e9, 0)
}

export interface Memory {
  /** MiB resident, and with shared pages divided among those who share them. */
  readonly rss: number
  readonly pss: number
  /** MiB resident of the memory that the guest has. */
  readonly guest: number
}

interface Mapping {
  readonly sizeKib: number
  readonly rssKib: number
}

function mappingsOf(pid: number): Mapping[] {
  const text = readFileSync(`/proc/${pid}/smaps`, 'latin1')
  return [...text.matchAll(/^Size: +(\d+) kB\n(?:.*\n)*?Rss: +(\d+) kB$/gm)]
    .map(([, size, rss]) => ({ sizeKib: Number(size), rssKib: Number(rss) }))
}

/**
 * Memory of a process whose guests' memory is the mapping of `guestMib`: of exactly that size, or
 * with `least` the largest of at least that size, for neighbours may have been joined to it.
 */
export function memoryOf(pid: number, guestMib: number): Memory {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')
  const field = (name: string): number =>
    Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(rollup)![1]) / 1024
  const guests = mappingsOf(pid).filter(({ sizeKib, rssKib }) =>
    rssKib > 0 && sizeKib >= guestMib * 1024 && sizeKib < (guestMib + 64) * 1024)
  const rssKib = Math.max(0, ...guests.map((mapping) => mapping.rssKib))
  return { rss: field('Rss'), pss: field('Pss'), guest: rssKib / 1024 }
}
