/**
 * Debian's kernels as guests: their files, from the cache or through apt, and their shell.
 */
import { cacheFolder } from '../../src/node/cache.ts'
import { ensureGuest, type GuestFiles, type GuestKind } from '../../src/node/guest-files.ts'
import { PackageError } from '../../src/node/packages.ts'
import { buildInitramfs } from '../../src/toolstack/build/initramfs.ts'
import type { Conversation } from './console.ts'
import type { Settings } from './test-host.ts'

/** A guest's files, or why they cannot be had. */
export interface Debian {
  readonly settings: Settings
  /** For a test's `skip`. */
  readonly missing: string | false
}

/** The files of a guest; where apt cannot bring them, tests are skipped with its words. */
export async function debian(kind: GuestKind): Promise<Debian> {
  let files: GuestFiles
  try {
    files = await ensureGuest({
      kind, cache: cacheFolder(), progress: () => {}, own: {},
      buildInitrd: (busybox, modules) => buildInitramfs(busybox, modules),
    })
  } catch (error) {
    if (!(error instanceof PackageError)) throw error
    return { settings: {}, missing: error.message }
  }
  const settings = {
    kernel: files.kernel, ramdisk: files.initrd, memory: 256, cmdline: 'console=hvc0',
  }
  return { settings, missing: false }
}

export const PROMPT = 'xenolith:~# '

/** What a command printed, and its exit status. */
export interface Answer {
  readonly status: number
  readonly output: string
}

/**
 * The guest's shell without prompts and echoes: each line is evaluated and its status printed after
 * what it printed itself.
 */
export class Shell {
  readonly console: Conversation

  private constructor(conversation: Conversation) {
    this.console = conversation
  }

  /** Waits for the prompt and takes over. */
  static async take(conversation: Conversation, prompt = PROMPT): Promise<Shell> {
    await conversation.expect(prompt)
    conversation.send(
      'stty -echo; while IFS= read -r _l; do eval "$_l"; printf "<<%d>>\\n" $?; done\n:\n')
    await conversation.expect(/<<0>>\n/)
    return new Shell(conversation)
  }

  async run(command: string, seconds?: number): Promise<Answer> {
    this.console.send(`${command}\n`)
    const before = await this.console.expect('<<', seconds)
    const status = await this.console.expect('>>\n', seconds)
    return { status: Number(status), output: before }
  }

  /** What a command prints; it must not fail. */
  async output(command: string, seconds?: number): Promise<string> {
    const { status, output } = await this.run(command, seconds)
    if (status !== 0) throw new Error(`${command}: status ${status}\n${output}`)
    return output
  }
}
