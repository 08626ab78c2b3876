/**
 * A domain's console as its boot loader's terminal. What is shown there is kept in a log, too:
 * libxl's bootloader.DOMID.log.
 */
import { ConsoleBuffer } from '../../backends/console-buffer.ts'
import type { ConsoleEnd } from '../../backends/console-end.ts'
import type { BootTerminal } from '../pygrub/menu-session.ts'
import type { ToolstackHost } from './toolstack-host.ts'

/** Of what was shown the log has the last. */
const LOG_LIMIT = 64 * 1024

/** Does `work` at the console of a domain. */
export async function atConsole<T>(
  console: ConsoleEnd, domid: number, host: ToolstackHost,
  work: (terminal: BootTerminal) => Promise<T>,
): Promise<T> {
  const shown = new ConsoleBuffer(LOG_LIMIT)
  try {
    return await work({
      write: (text) => {
        const bytes = new TextEncoder().encode(text)
        console.print(bytes)
        shown.push(bytes)
      },
      listen: (typist) => console.listen(typist),
      delay: (ms, later) => host.delay(ms, later),
    })
  } finally {
    if (shown.size > 0) await host.keepLog(`bootloader.${domid}.log`, shown.takeAll())
  }
}
