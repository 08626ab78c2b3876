/**
 * Programs of the machine, run to their end.
 */
import { spawn } from 'node:child_process'

const LINES_KEPT = 6

export interface CommandResult {
  readonly status: number | null
  readonly output: string
  /** The last lines of standard error. */
  readonly errors: string
}

/** Runs a program with messages in English; rejects when it cannot be started. */
export function runCommand(
  command: string, args: readonly string[], folder: string,
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: folder, env: { ...process.env, LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => output += text)
    child.stderr.setEncoding('utf8').on('data', (text: string) => errors += text)
    child.on('error', reject)
    child.on('close', (status) => {
      resolve({ status, output, errors: errors.trim().split('\n').slice(-LINES_KEPT).join('\n') })
    })
  })
}

/** The same, wherever; undefined when there is no such program. */
export async function runIfThere(
  command: string, args: readonly string[],
): Promise<CommandResult | undefined> {
  try {
    return await runCommand(command, args, '/')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
