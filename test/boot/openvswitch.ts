/**
 * Open vSwitch in user space and in a folder of a test's own: no kernel module, no root.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const DAEMONS = ['ovsdb-server', 'ovs-vswitchd']

/** Where openvswitch-switch is, installed or unpacked only. */
const place = process.env['XENOLITH_TEST_OVS'] ?? ''
const path = ['/usr/bin', '/usr/lib/openvswitch-switch'].map((folder) => place + folder)
const search = { PATH: [...path, process.env['PATH'], '/usr/sbin'].join(':') }

/** For a test's `skip`. */
export const openVswitchMissing =
  spawnSync('ovs-vswitchd', ['--version'], { env: search }).status !== 0 &&
  'there is no Open vSwitch'

export class TestOpenVswitch {
  readonly #folder = mkdtempSync(join(tmpdir(), 'xenolith-ovs-'))
  /** For whoever shall speak with it. */
  readonly environment = {
    OVS_RUNDIR: this.#folder, OVS_LOGDIR: this.#folder, OVS_DBDIR: this.#folder,
    ...search,
  }

  constructor() {
    const database = join(this.#folder, 'conf.db')
    const socket = join(this.#folder, 'db.sock')
    this.run('ovsdb-tool', 'create', database,
      `${place}/usr/share/openvswitch/vswitch.ovsschema`)
    const daemon = ['-vconsole:off', '--no-chdir', '--detach', '--pidfile', '--log-file']
    this.run('ovsdb-server', ...daemon, `--remote=punix:${socket}`, database)
    this.run('ovs-vsctl', '--timeout=10', '--no-wait', 'init')
    this.run('ovs-vswitchd', ...daemon, '--disable-system', '--enable-dummy')
  }

  /** What a program of Open vSwitch prints. */
  run(program: string, ...words: readonly string[]): string {
    return execFileSync(program, words, {
      env: { ...process.env, ...this.environment }, encoding: 'utf8', timeout: 30_000,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  }

  async close(): Promise<void> {
    const pids = DAEMONS.map((name) => join(this.#folder, `${name}.pid`))
      .filter((path) => existsSync(path)).map((path) => Number(readFileSync(path, 'utf8')))
    for (const pid of pids) process.kill(pid, 'SIGTERM')
    for (let i = 0; i < 50 && pids.some(isAlive); i++) await delay(50)
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
