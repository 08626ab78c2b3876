/**
 * Locks on open files, by util-linux's (or busybox's) `flock`: Node has no flock(2).
 *
 * The program is given the open file as its descriptor 3. A flock belongs to the open file and not
 * to the process that took it: it stays when the program has ended, and goes when this process
 * closes the file or dies, however it dies.
 */
import { spawn } from 'node:child_process'

/** Runs a program that finds `fd` as its descriptor 3; its exit code, or undefined without it. */
export function runOn(
  fd: number, program: string, args: readonly string[],
): Promise<number | undefined> {
  return new Promise((done) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'ignore', fd] })
    child.on('error', () => done(undefined))
    child.on('exit', (code) => done(code ?? undefined))
  })
}

/** Locks an open file for ourselves or for sharing: false when another process has it locked in a
 * way that forbids that, undefined where there are no locks. */
export async function lockFile(fd: number, exclusive: boolean): Promise<boolean | undefined> {
  const code = await runOn(fd, 'flock', [exclusive ? '-x' : '-s', '-n', '3'])
  return code === 0 ? true : code === 1 ? false : undefined
}
