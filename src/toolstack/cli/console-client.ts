/**
 * xenconsole's duty: joins a domain's console to this process's standard input and output.
 *
 * At a terminal Ctrl-] detaches. The end of piped input is no reason to leave: a script's answers
 * may be spent long before the guest is done. Output that cannot be written yet holds back nothing
 * but itself.
 */
import type { Libxl } from '../domain/libxl.ts'
import { HostGone } from '../host/client.ts'
import type { World } from './world.ts'

const DETACH = 0x1d

export type ConsoleEnd = 'closed' | 'detached' | 'host gone'

/** Attaches until the domain's console ends or the user leaves; `attached` is told in between. */
export async function runConsole(
  world: World, libxl: Libxl, domid: number, attached: () => void = () => {}, number = 0,
): Promise<ConsoleEnd> {
  const { terminal } = world
  let finish: (end: ConsoleEnd) => void = () => {}
  const ended = new Promise<ConsoleEnd>((resolve) => (finish = resolve))
  const session = await libxl.attachConsole(domid, {
    output: (bytes) => void terminal.write(bytes),
    closed: () => finish('closed'),
  }, number)
  try {
    terminal.open((bytes) => {
      const stop = terminal.isTerminal ? bytes.indexOf(DETACH) : -1
      const typed = stop < 0 ? bytes : bytes.subarray(0, stop)
      if (typed.length > 0 && !session.write(typed)) {
        terminal.pause()
        session.whenRoom(() => terminal.resume())
      }
      if (stop >= 0) finish('detached')
    }, () => {})
    attached()
    const end = await ended
    return end === 'closed' && await isGone(libxl) ? 'host gone' : end
  } finally {
    terminal.close()
    session.detach()
  }
}

/** Whether the console ended because the host process did. */
async function isGone(libxl: Libxl): Promise<boolean> {
  try {
    await libxl.list()
    return false
  } catch (error) {
    if (error instanceof HostGone) return true
    throw error
  }
}
