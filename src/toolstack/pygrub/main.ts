/**
 * pygrub's command line: the options and outputs of Xen's.
 *
 * The menu needs a terminal; without one the default is booted. `--format` is ours: without it the
 * image is raw, whatever it looks like.
 */
import { HostFileError } from '../../base/host-file.ts'
import { StorageError } from '../../storage/error.ts'
import { type ImageHost, openImage } from '../../storage/open.ts'
import { getopt } from '../cli/getopt.ts'
import { formatNamed } from '../image/world.ts'
import { type BootFiles, findBootFiles, listBootEntries } from './boot.ts'
import type { BootTerminal } from './menu-session.ts'
import { bootWishesOf, pygrubOptions } from './options.ts'

export interface PygrubWorld {
  readonly host: ImageHost
  /** For the menu. */
  readonly terminal?: BootTerminal | undefined
  out(text: string): void
  err(text: string): void
  /** Writes a new file of a name that begins so in a folder, for its owner only; its path. */
  writeNew(folder: string, prefix: string, bytes: Uint8Array): Promise<string>
  /** Writes to a file or pipe. */
  writeTo(path: string, text: string): Promise<void>
}

const DEFAULT_FOLDER = '/var/run/xen/pygrub'

const USAGE =
  'Usage: pygrub [-q|--quiet] [-i|--interactive] [-l|--list-entries] [-n|--not-really]\n' +
  '  [--output=FILE] [--kernel=PATH] [--ramdisk=PATH] [--args=TEXT] [--entry=NUMBER|TITLE]\n' +
  '  [--output-directory=FOLDER] [--output-format=sxp|simple|simple0] [--offset=BYTES]\n' +
  '  [--format=raw|qcow2|vpc] IMAGE\n'

/** Runs one command line; its exit code. */
export async function runPygrub(words: readonly string[], world: PygrubWorld): Promise<number> {
  const parsed = getopt(words, pygrubOptions)
  if ('unknown' in parsed) {
    world.err(`pygrub: unknown option '${parsed.unknown}'\n${USAGE}`)
    return 1
  }
  const [image] = parsed.operands
  if (parsed.options.has('help') || parsed.operands.length !== 1 || image === undefined) {
    world.err(USAGE)
    return parsed.options.has('help') ? 0 : 1
  }
  try {
    await boot(image, parsed.options, world)
    return 0
  } catch (error) {
    if (!(error instanceof StorageError || error instanceof HostFileError)) throw error
    world.err(`pygrub: ${error.message}\n`)
    return 1
  }
}

async function boot(
  image: string, set: ReadonlyMap<string, string>, world: PygrubWorld,
): Promise<void> {
  const format = set.get('output-format') ?? 'sxp'
  if (!['sxp', 'simple', 'simple0'].includes(format)) {
    throw new StorageError('invalid', `unknown output format '${format}'`)
  }
  const wishes = bootWishesOf(set)
  // The format is never found out from what is in the disk: its guest has written that.
  const store = await openImage(
    world.host, image, { access: 'read', format: formatNamed(set.get('format') ?? 'raw') })
  try {
    if (set.has('list')) {
      for (const { title, kernel, args, ramdisks } of await listBootEntries(store, wishes.offset)) {
        world.out(`title: ${title}\n  kernel: ${kernel ?? 'None'}\n  args: ${args}\n` +
          `${ramdisks.map((path) => `  initrd: ${path}\n`).join('')}`)
      }
      return
    }
    const files = await findBootFiles(store, wishes, world.terminal)
    const text = await report(files, format, set, world)
    const output = set.get('output')
    if (output === undefined || output === '-') world.out(text)
    else await world.writeTo(output, text)
  } finally {
    await store.close()
  }
}

/** Puts the files where the builder finds them, and says where. */
async function report(
  files: BootFiles, format: string, set: ReadonlyMap<string, string>, world: PygrubWorld,
): Promise<string> {
  const folder = set.get('output-directory') ?? DEFAULT_FOLDER
  const put = async (prefix: string, bytes: Uint8Array): Promise<string> =>
    set.has('dry') ? 'None' : world.writeNew(folder, prefix, bytes)
  const fields: [string, string][] = [['kernel', await put('boot_kernel.', files.kernel)]]
  if (files.ramdisk) fields.push(['ramdisk', await put('boot_ramdisk.', files.ramdisk)])
  if (files.args !== '') fields.push(['args', files.args])
  if (format === 'sxp') {
    const quoted = (text: string): string => `'${text.replaceAll("'", "\\'")}'`
    return `linux ${fields.map(([key, text]) => `(${key} ${quoted(text)})`).join('')}`
  }
  const end = format === 'simple' ? '\n' : '\0'
  return `${fields.map(([key, text]) => `${key} ${text}${end}`).join('')}${end}`
}
