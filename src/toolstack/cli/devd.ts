/**
 * xl devd: the daemon that serves a domain's back-ends. Those of the control domain are served by
 * the host process from its start, so that there is nothing to start; in a driver domain, Linux's
 * own drivers and the guest's scripts do it.
 */
import type { Command, Invocation } from './command.ts'

async function devd({ world }: Invocation): Promise<number> {
  world.err('devd: the host process serves the devices of domain 0 itself; nothing is started\n')
  return 0
}

export const devdCommand: Command = {
  name: 'devd', summary: 'Daemon that listens for devices and launches backends',
  synopsis: '[options]',
  optionsHelp: '-F                      Run in the foreground.\n' +
    '-p, --pidfile [FILE]    Write PID to pidfile when daemonizing.',
  globals: 'vtTf',
  options: [
    { key: 'foreground', letter: 'F' },
    { key: 'pidfile', letter: 'p', name: 'pidfile', value: true },
  ],
  needs: 0, run: devd,
}
