/**
 * `npm start`: from a fresh clone to a shell in a running guest.
 *
 * Fetches a Debian kernel and busybox through the machine's apt, or takes the files that are named
 * by options; writes an xl.cfg and hands over to `xl create -c`.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { cacheFolder, madeFolder, writeWhole } from '../node/cache.ts'
import { ensureGuest, type GuestFiles } from '../node/guest-files.ts'
import { PackageError } from '../node/packages.ts'
import { buildInitramfs } from '../toolstack/build/initramfs.ts'

const USAGE = `Usage: npm start -- [options]

Boots a Debian kernel to a busybox shell in a PVH domain.

  --full            use Debian's full kernel instead of the one for clouds
  --kernel FILE     use this kernel (bzImage or ELF) and fetch none
  --initrd FILE     use this initramfs and fetch no busybox
  --memory MB       give the domain this much memory (256)
  --name NAME       call the domain so (debian)
  --cmdline TEXT    the kernel's command line (console=hvc0)
  --fetch-only      get the files, print where they are, and start nothing
`

const BY_HAND = `

Without apt, give the files yourself: any Linux kernel with Xen PVH support, and an initramfs.

  npm start -- --kernel /path/to/vmlinuz --initrd /path/to/initrd.img
`

interface Options {
  readonly full?: boolean
  readonly kernel?: string
  readonly initrd?: string
  readonly memory: string
  readonly name: string
  readonly cmdline: string
  readonly 'fetch-only'?: boolean
  readonly help?: boolean
}

/** A mistake of the user's or of the machine's, told without a stack. */
class Complaint extends Error {}

function readOptions(): Options {
  try {
    return parseArgs({
      options: {
        full: { type: 'boolean' },
        kernel: { type: 'string' },
        initrd: { type: 'string' },
        memory: { type: 'string', default: '256' },
        name: { type: 'string', default: 'debian' },
        cmdline: { type: 'string', default: 'console=hvc0' },
        'fetch-only': { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    throw new Complaint(`${(error as Error).message}\n\n${USAGE}`)
  }
}

function say(step: string): void {
  process.stderr.write(`${step}\n`)
}

function existing(option: string, path: string): string {
  if (!existsSync(path)) throw new Complaint(`--${option}: ${path}: No such file or directory`)
  return resolve(path)
}

/** The files that the options name, the rest from the cache or from Debian. */
function guestFiles(options: Options): Promise<GuestFiles> {
  const { kernel, initrd } = options
  return ensureGuest({
    kind: options.full ? 'full' : 'cloud',
    cache: cacheFolder(),
    progress: say,
    own: {
      ...kernel === undefined ? {} : { kernel: existing('kernel', kernel) },
      ...initrd === undefined ? {} : { initrd: existing('initrd', initrd) },
    },
    buildInitrd: (busybox, modules) => buildInitramfs(busybox, modules),
  })
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`
}

function configText(options: Options, files: GuestFiles): string {
  const lines = [
    '# Written by npm start, and again each time. Copy it to change it.',
    `name = ${quoted(options.name)}`,
    'type = "pvh"',
    `kernel = ${quoted(files.kernel)}`,
    `ramdisk = ${quoted(files.initrd)}`,
    `cmdline = ${quoted(options.cmdline)}`,
    `memory = ${Number(options.memory)}`,
    'vcpus = 1',
  ]
  return `${lines.join('\n')}\n`
}

/** Runs `./xl create -c` on the configuration in our place, and ends as it ends. */
function handOver(config: string): void {
  const root = resolve(import.meta.dirname, '..', '..')
  say(`./xl create -c ${config}`)
  const child = spawn(join(root, 'xl'), ['create', '-c', config], { stdio: 'inherit' })
  // Signals from the terminal reach the child as well; it decides.
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, () => {})
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.on('error', (error) => {
    say(`./xl cannot be run: ${error.message}`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal ? 128 : 1)
  })
}

async function main(): Promise<void> {
  const options = readOptions()
  if (options.help) {
    process.stdout.write(USAGE)
    return
  }
  if (!/^[1-9][0-9]*$/.test(options.memory)) {
    throw new Complaint(`--memory: ${options.memory}: not a number of megabytes`)
  }
  const files = await guestFiles(options)
  if (options['fetch-only']) {
    process.stdout.write(`${JSON.stringify(files, undefined, 2)}\n`)
    return
  }
  const folder = madeFolder(cacheFolder(), 'guest')
  const config = join(folder, `${options.name.replaceAll('/', '_')}.cfg`)
  writeWhole(config, configText(options, files))
  handOver(config)
}

try {
  await main()
} catch (error) {
  if (error instanceof PackageError) say(`npm start: ${error.message}${BY_HAND}`)
  else if (error instanceof Complaint) say(`npm start: ${error.message}`)
  else throw error
  process.exitCode = 1
}
