/**
 * Command lines over a hypervisor without processors: four CPUs, and a domain `pv` with two VCPUs.
 */
import { runHptool } from '../../src/toolstack/cli/hptool.ts'
import { runXl } from '../../src/toolstack/cli/main.ts'
import type { World } from '../../src/toolstack/cli/world.ts'
import { FakeHost } from '../../src/toolstack/domain/fake-control.ts'
import { LocalLibxl } from '../../src/toolstack/domain/local-libxl.ts'
import { Xenstored } from '../../src/xenstore/xenstored.ts'
import { newDomain, newMachine } from './machine.ts'

/** `commandLine` is the hypervisor's. */
export function session(commandLine = 'test', settings: Parameters<typeof newMachine>[3] = {}) {
  const machine = newMachine(64, 4, commandLine, settings)
  const libxl = new LocalLibxl(machine.control, new Xenstored(), new FakeHost())
  const domid = newDomain(machine, 16, 2)
  libxl.store.write(`/local/domain/${domid}/name`, 'pv')
  let said = ''
  const world = {
    out: (text: string) => void (said += text),
    err: (text: string) => void (said += text),
    machine: async () => libxl,
    uname: () => ({ host: 'h', release: 'r', version: 'v', machine: 'x86_64' }),
  } as unknown as World
  /** The lines that a command says, and its exit code if that is not 0. */
  async function saidBy(run: typeof runXl, line: string): Promise<string[]> {
    said = ''
    const code = await run(line === '' ? [] : line.split(' '), world)
    return [...said.split('\n').filter((text) => text !== ''), ...code === 0 ? [] : [`rc=${code}`]]
  }
  return {
    machine, domid,
    xl: (line: string) => saidBy(runXl, line),
    hptool: (line: string) => saidBy(runHptool, line),
  }
}
