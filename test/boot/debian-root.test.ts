/**
 * A whole Debian system as a guest: its own kernel, initramfs and systemd on a disk, to the login
 * prompt; its network by DHCP, apt, SSH from the host and TCP to another guest; another boot, by
 * pygrub; and that its file system is clean after it was shut down.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import {
  createCipheriv, createHash, generateKeyPairSync, randomBytes, sign,
} from 'node:crypto'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { debianRoot } from '../guests/debian-root.ts'
import type { Conversation } from './console.ts'
import { debian, Shell } from './debian.ts'
import { freePort } from './loopback.ts'
import { PackageServer } from './package-server.ts'
import { type Settings, TestHost } from './test-host.ts'

const root = debianRoot()
const cloud = await debian('cloud')
const imageTool = resolve(import.meta.dirname, '..', '..', 'xenolith-img')
/** How long a boot may take, in seconds. */
const BOOT = 600
const BULK = 4_000_000
/** On a busy machine devices may take longer than systemd's minute and a half. */
const COMMAND_LINE = `console=hvc0 root=LABEL=root systemd.default_device_timeout_sec=${BOOT} ` +
  `systemd.default_timeout_start_sec=${BOOT}`

function image(...words: string[]): void {
  const { status, stderr } = spawnSync(imageTool, words, { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}

/** Reads an image's file system and changes nothing. */
function checkFileSystem(path: string): { status: number | null, stdout: string } {
  const PATH = `${process.env['PATH']}:/usr/sbin:/sbin`
  return spawnSync('e2fsck', ['-f', '-n', path],
    { encoding: 'utf8', env: { ...process.env, PATH, LC_ALL: 'C' } })
}

describe('a Debian system', { skip: root.missing || cloud.missing }, () => {
  const host = new TestHost()
  const disk = join(host.folder, 'root.qcow2')
  let packages: PackageServer
  let console: Conversation
  let shell: Shell
  let sshPort: number

  before(async () => {
    packages = await PackageServer.start(host.folder, ['netcat-openbsd'])
    image('create', '-q', '-f', 'qcow2', '-b', root.image, '-F', 'raw', disk)
    sshPort = await freePort()
  })
  after(async () => {
    packages.close()
    await host.close()
  })

  /** Runs a command in the guest as a user at the host does. */
  async function ssh(command: string, input: Uint8Array = new Uint8Array()): Promise<string> {
    const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR']
    const child = spawn('ssh', ['-i', root.key, '-p', `${sshPort}`,
      ...options.flatMap((option) => ['-o', option]), 'root@127.0.0.1', command])
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text))
    }
    const status = await new Promise((done) => child.on('close', done))
    assert.equal(status, 0, output)
    return output
  }

  /** Creates the domain, waits for the login prompt and logs in. */
  async function boot(settings: Settings): Promise<void> {
    console = host.start('create', '-c', host.config('debian', {
      ...settings, memory: 512, disk: [`${disk},qcow2,xvda,w`],
      vif: [`mac=00:16:3e:00:00:01,ip=10.0.2.31,forward=tcp:${sshPort}:22`],
    }))
    const said = await console.expect('guest login: ', BOOT)
    assert.doesNotMatch(said, /Oops|BUG:|WARNING:|Call Trace|FAILED|emergency mode/)
    console.send('root\n')
    shell = await Shell.take(console, 'root@guest:~# ')
  }

  async function shutDown(): Promise<void> {
    assert.equal((await host.xl('shutdown', '-w', 'debian')).code, 0)
    await console.ended()
  }

  test('comes up to the login prompt, and root logs in', () =>
    boot({ kernel: root.kernel, ramdisk: root.ramdisk, cmdline: COMMAND_LINE }))

  test('runs its services on the disk that it was given', async () => {
    assert.equal(await shell.output('systemctl is-system-running --wait; systemctl --failed -q',
      BOOT), 'running\n')
    assert.match(await shell.output('findmnt -no SOURCE,FSTYPE /'), /^\/dev\/xvda +ext4$/m)
    assert.equal(await shell.output('systemd-detect-virt'), 'xen\n')
  })

  test('has the address that DHCP gave it', async () => {
    assert.match(await shell.output('ip addr show enX0'), /inet 10\.0\.2\.31\/24 /)
    assert.match(await shell.output('cat /etc/resolv.conf'), /^nameserver 10\.0\.2\.3$/m)
  })

  test('installs a package from a repository on the host\'s loopback', async () => {
    const source = `deb [trusted=yes] http://10.0.2.2:${packages.port} ./`
    await shell.output(`echo '${source}' >/etc/apt/sources.list`)
    await shell.output('apt-get -q update && apt-get -qy install netcat-openbsd', BOOT)
    assert.ok(packages.requests.some((name) => name.startsWith('netcat-openbsd_')))
    assert.equal(await shell.output('dpkg-query -W -f \'${Status}\\n\' netcat-openbsd'),
      'install ok installed\n')
  })

  test('takes SSH from the host through a forwarded port', async () => {
    assert.equal(await ssh('hostname; uname -s'), 'guest\nLinux\n')
    const bytes = randomBytes(BULK)
    assert.match(await ssh('sha256sum', bytes),
      new RegExp(createHash('sha256').update(bytes).digest('hex')))
  })

  test('computes by OpenSSL\'s AVX2 code what the host computes, and without it', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    await ssh('cat >/tmp/key.pem', Buffer.from(
      privateKey.export({ type: 'pkcs1', format: 'pem' })))
    const key = createHash('sha256').update('key').digest()
    const stream = createCipheriv('chacha20', key, key.subarray(0, 16)).update(Buffer.alloc(BULK))
    const expected = [
      ...['sha1', 'sha256', 'sha512', 'sha3-256', 'blake2b512'].map((name) =>
        createHash(name).update(stream).digest('hex')),
      createHash('sha256').update(sign('sha256', stream, privateKey)).digest('hex'),
    ]
    const program = `head -c ${BULK} /dev/zero | openssl enc -chacha20 -K ${key.toString('hex')} ` +
      `-iv ${key.toString('hex', 0, 16)} >/tmp/stream && cd /tmp && ` +
      'for d in sha1 sha256 sha512 sha3-256 blake2b512; do openssl dgst -r -$d stream; done && ' +
      'openssl dgst -sha256 -sign key.pem stream | sha256sum'
    // Bit 5 of the second word says AVX2; 29 is SHA, which comes first where it is.
    for (const [without, words] of [['SHA', '~0x20000000'], ['AVX2 and SHA', '~0x20000020']]) {
      const said = await ssh(`export OPENSSL_ia32cap=:${words}; ${program}`)
      assert.deepEqual(said.trim().split('\n').map((line) => line.split(' ')[0]), expected,
        `without ${without}`)
    }
  })

  test('exchanges bulk data with another guest over the bridge', async () => {
    const peer = await Shell.take(host.start('create', '-c', host.config('peer', {
      ...cloud.settings, vif: ['mac=00:16:3e:00:00:02,ip=10.0.2.32'],
    })))
    await peer.output('until ip route | grep -q default; do sleep 0.1; done')
    // The system may say something on its console at any time.
    const digestIn = (text: string): string | undefined => /[0-9a-f]{64}/.exec(text)?.[0]
    const sum = async (guest: Shell): Promise<string | undefined> =>
      digestIn(await guest.output('cat /tmp/sum'))
    await peer.output('(nc -l -p 5000 | tee /tmp/got | sha256sum >/tmp/sum; touch /tmp/done) &')
    const sent = await shell.output(`head -c ${BULK} /dev/urandom >/tmp/bulk; ` +
      'sha256sum /tmp/bulk; nc -N 10.0.2.32 5000 </tmp/bulk', BOOT)
    await peer.output('while [ ! -e /tmp/done ]; do sleep 0.1; done')
    assert.equal(await sum(peer), digestIn(sent))
    await shell.output('(nc -d -l 5000 | sha256sum >/tmp/sum) & sleep 1')
    await peer.output('nc 10.0.2.31 5000 </tmp/got')
    await shell.output('wait')
    assert.equal(await sum(shell), digestIn(sent))
  })

  test('boots the kernel in its own /boot by the configuration that it made for GRUB', async () => {
    await shell.output(`echo 'GRUB_CMDLINE_LINUX="${COMMAND_LINE}"' >/etc/default/grub`)
    await shell.output('mkdir -p /boot/grub && update-grub', BOOT)
    await shutDown()
    await boot({ bootloader: 'pygrub' })
    assert.match(await shell.output('cat /proc/cmdline'), /^root=UUID=[-0-9a-f]+ ro console=hvc0 /)
  })

  test('shuts down when asked, and leaves a clean file system', async () => {
    await shutDown()
    const raw = join(host.folder, 'root.raw')
    image('convert', '-O', 'raw', disk, raw)
    const { status, stdout } = checkFileSystem(raw)
    assert.equal(status, 0, stdout)
    assert.doesNotMatch(stdout, /recovering journal|was not cleanly unmounted/)
  })
})
