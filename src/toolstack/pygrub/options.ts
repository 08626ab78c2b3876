/**
 * pygrub's options, as they stand on its command line or in an xl.cfg's `bootloader_args`.
 */
import { StorageError } from '../../storage/error.ts'
import { getopt, type Option } from '../cli/getopt.ts'
import type { BootWishes } from './boot.ts'

const value = (key: string): Option => ({ key, name: key, value: true })

export const pygrubOptions: readonly Option[] = [
  { key: 'quiet', letter: 'q', name: 'quiet' },
  { key: 'interactive', letter: 'i', name: 'interactive' },
  { key: 'list', letter: 'l', name: 'list-entries' },
  { key: 'dry', letter: 'n', name: 'not-really' }, { key: 'help', letter: 'h', name: 'help' },
  value('output'), value('kernel'), value('ramdisk'), value('args'), value('entry'),
  value('output-directory'), value('output-format'), value('offset'),
  value('format'),
]

/** The menu is there unless it is forbidden, or an entry named. The last of these counts. */
function isInteractive(set: ReadonlyMap<string, string>): boolean {
  const said = [...set.keys()].filter((key) => ['quiet', 'interactive', 'entry'].includes(key))
  return (said.at(-1) ?? 'interactive') === 'interactive'
}

/** What is wished of the disk. */
export function bootWishesOf(set: ReadonlyMap<string, string>): BootWishes {
  const offset = set.has('offset') ? Number(set.get('offset')) : undefined
  if (offset !== undefined && (!Number.isSafeInteger(offset) || offset % 512 !== 0 || offset < 0)) {
    throw new StorageError('invalid', 'the offset is not that of a sector')
  }
  return {
    entry: set.get('entry'), kernel: set.get('kernel'), ramdisk: set.get('ramdisk'),
    args: set.get('args'), offset, isInteractive: isInteractive(set),
  }
}

/** What a boot loader boots nothing with. */
const IDLE = ['list', 'dry', 'help']

/** The wishes of a configuration's `bootloader_args`. */
export function parseBootWishes(words: readonly string[]): BootWishes {
  const parsed = getopt(words, pygrubOptions)
  if ('unknown' in parsed) throw new StorageError('invalid', `unknown option '${parsed.unknown}'`)
  const [operand] = parsed.operands
  if (operand !== undefined) throw new StorageError('invalid', `unexpected argument '${operand}'`)
  const idle = pygrubOptions.find(({ key }) => IDLE.includes(key) && parsed.options.has(key))
  if (idle) throw new StorageError('invalid', `--${idle.name} leaves nothing to boot`)
  return bootWishesOf(parsed.options)
}
