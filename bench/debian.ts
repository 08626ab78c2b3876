/**
 * A whole Debian system under xl and under QEMU, in turns: from the start to the login prompt, and
 * TCP between the guest and a server on the host's loopback, through either's user-mode NAT.
 *
 * `sh tools/with-node.sh bench/debian.ts [--rounds N] [--publish]`; with `--publish` the table goes
 * into docs/benchmarks.md. The system is that of test/guests/debian-root.ts. QEMU has a virtio disk
 * and interface. CPU time is of all processes of a guest, the server's not counted.
 */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type DebianRoot, debianRoot } from '../test/guests/debian-root.ts'
import { OwnHost, systems } from './guests/systems.ts'
import { GuestConsole } from './lib/console.ts'
import { publish } from './lib/document.ts'
import { BOOT_MS, root as tree } from './lib/guest.ts'
import { cpuSecondsOf } from './lib/process.ts'
import { firstLineOf, load, settingOf } from './lib/results.ts'
import { settingText } from './lib/tables.ts'
import { ratiosOf, summaryOf } from './lib/statistics.ts'

const MEMORY_MIB = 512
const BULK = 64 * 1024 * 1024
const ROUND_TRIPS = 500
const HOST_LOOPBACK = '10.0.2.2'

interface Guest {
  readonly console: GuestConsole
  cpuSeconds(): number
  close(): Promise<void>
}

function startOurs(files: DebianRoot): Guest {
  const host = new OwnHost(systems.find(({ kind }) => kind === 'xl')!)
  const disk = join(host.folder, 'root.qcow2')
  spawnSync(join(tree, 'xenolith-img'),
    ['create', '-q', '-f', 'qcow2', '-b', files.image, '-F', 'raw', disk])
  const config = join(host.folder, 'debian.cfg')
  writeFileSync(config, [
    'name = "debian"', 'type = "pvh"', `memory = ${MEMORY_MIB}`, `kernel = "${files.kernel}"`,
    `ramdisk = "${files.ramdisk}"`, 'cmdline = "console=hvc0 root=LABEL=root"',
    `disk = ["${disk},qcow2,xvda,w"]`, 'vif = [""]', '',
  ].join('\n'))
  const console = host.create(config)
  return {
    console,
    cpuSeconds: () => cpuSecondsOf(host.pid) + cpuSecondsOf(console.child.pid!),
    close: async () => {
      await console.close()
      await host.end()
    },
  }
}

function startQemu(files: DebianRoot): Guest {
  const console = new GuestConsole('qemu-system-x86_64', [
    '-accel', 'tcg', '-smp', '1', '-m', `${MEMORY_MIB}`, '-display', 'none', '-nodefaults',
    '-no-user-config', '-no-reboot', '-serial', 'stdio', '-kernel', files.kernel,
    '-initrd', files.ramdisk, '-append', 'console=ttyS0 tsc=reliable root=LABEL=root',
    '-drive', `file=${files.image},format=raw,if=virtio,snapshot=on`,
    '-nic', 'user,model=virtio-net-pci',
  ])
  const pid = console.child.pid!
  return { console, cpuSeconds: () => cpuSecondsOf(pid), close: () => console.close() }
}

/** What the server does with a connection, and what the guest runs. */
interface Row {
  readonly what: string
  /** What is moved, in the unit of the table. */
  readonly amount: number
  readonly unit: string
  readonly command: (server: string) => string
  readonly serve: (socket: Socket) => void
}

const rows: readonly Row[] = [
  {
    what: 'TCP from the guest to the host', amount: BULK / 1e6, unit: 'MB/s',
    command: (server) => `head -c ${BULK} /dev/zero >${server}`,
    serve: (socket) => void socket.resume(),
  },
  {
    what: 'TCP from the host to the guest', amount: BULK / 1e6, unit: 'MB/s',
    command: (server) => `cat <${server} >/dev/null`,
    serve: (socket) => void socket.end(new Uint8Array(BULK)),
  },
  {
    what: 'round trips of a byte', amount: ROUND_TRIPS, unit: '1/s',
    command: (server) => `exec 3<>${server}; for ((i = 0; i < ${ROUND_TRIPS}; i++)); do ` +
      'echo >&3; read -ru 3; done; exec 3>&-',
    serve: (socket) => void socket.setNoDelay(true).pipe(socket),
  },
]

interface Measured {
  readonly cpu: number
  readonly wall: number
}

async function timed(guest: Guest, work: () => Promise<unknown>, cpuBefore: number):
  Promise<Measured> {
  const start = performance.now()
  await work()
  return { cpu: guest.cpuSeconds() - cpuBefore, wall: (performance.now() - start) / 1000 }
}

async function command(guest: Guest, text: string): Promise<void> {
  // The shell echoes what it reads, so that must not hold what is waited for.
  guest.console.send(`${text}; echo status''-$?;\n`)
  await guest.console.expect('status-0', BOOT_MS)
}

async function measureRow(guest: Guest, { command: words, serve }: Row): Promise<Measured> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {}).on('end', () => void socket.end())
    serve(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const place = `/dev/tcp/${HOST_LOOPBACK}/${(server.address() as AddressInfo).port}`
  try {
    return await timed(guest, () => command(guest, words(place)), guest.cpuSeconds())
  } finally {
    server.close()
  }
}

/** One guest's whole life: the boot first, then all rows. */
async function measure(start: () => Guest): Promise<Measured[]> {
  const begun = performance.now()
  const guest = start()
  try {
    await guest.console.expect('guest login: ', BOOT_MS)
    const boot = { cpu: guest.cpuSeconds(), wall: (performance.now() - begun) / 1000 }
    guest.console.send('root\n')
    await guest.console.expect('# ', BOOT_MS)
    await command(guest, 'ip route | grep -q default || dhclient $(ls /sys/class/net | grep ^en)')
    const measured = [boot]
    for (const row of rows) measured.push(await measureRow(guest, row))
    return measured
  } finally {
    await guest.close()
  }
}

function tableOf(ours: readonly Measured[][], qemu: readonly Measured[][]): string {
  const heads = ['', 'ours / QEMU, CPU time', 'ours, CPU s', 'QEMU, CPU s', 'ours', 'QEMU']
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const names = ['from the start to the login prompt', ...rows.map(({ what }) => what)]
  const column = (all: readonly Measured[][], index: number, field: keyof Measured): number[] =>
    all.map((round) => round[index]![field])
  const lines = names.map((name, index) => {
    const row = rows[index - 1]
    const speed = (all: readonly Measured[][]): string => {
      const seconds = summaryOf(column(all, index, 'wall')).median
      return row ? `${(row.amount / seconds).toFixed(1)} ${row.unit}` : `${seconds.toFixed(1)} s`
    }
    const cpu = (all: readonly Measured[][]): number[] => column(all, index, 'cpu')
    const { median, least, most } = ratiosOf(cpu(ours), cpu(qemu))
    return line([
      name, `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`,
      summaryOf(cpu(ours)).median.toFixed(2), summaryOf(cpu(qemu)).median.toFixed(2),
      speed(ours), speed(qemu),
    ])
  })
  return [line(heads), line(heads.map((_, i) => i === 0 ? '---' : '---:')), ...lines].join('\n')
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '3' }, publish: { type: 'boolean' } },
  })
  const files = debianRoot()
  if (files.missing !== false) throw new Error(files.missing)
  if (!firstLineOf('qemu-system-x86_64', '--version')) throw new Error('there is no QEMU')
  const before = load()
  const [ours, qemu]: [Measured[][], Measured[][]] = [[], []]
  for (let round = 0; round < Number(values.rounds); round++) {
    process.stderr.write(`Round ${round + 1} of ${values.rounds} ...\n`)
    qemu.push(await measure(() => startQemu(files)))
    ours.push(await measure(() => startOurs(files)))
  }
  const text = `${settingText(settingOf([before, load()], undefined))}\n\n${tableOf(ours, qemu)}\n`
  process.stdout.write(text)
  if (values.publish) publish('bench/debian.ts', text)
}

await main()
