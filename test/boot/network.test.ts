/**
 * Networks of Debian's cloud kernel with its own xen-netfront: an address by DHCP, the host's
 * loopback behind the NAT, ports into the guest, and guests among themselves, on the built-in
 * bridge and on Debian's Open vSwitch.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttp } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { debian, Shell } from './debian.ts'
import { freePort } from './loopback.ts'
import { openVswitchMissing, TestOpenVswitch } from './openvswitch.ts'
import { TestHost } from './test-host.ts'

const cloud = await debian('cloud')
const tshark = spawnSync('tshark', ['--version']).status === 0
const BIG = 3_000_001

/** What a server says to one who says `text` and then nothing more. */
async function talk(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8')
  let answer = ''
  socket.on('data', (part) => (answer += part))
  socket.end(text)
  await once(socket, 'close')
  return answer
}

describe('network interfaces', { skip: cloud.missing }, () => {
  let folder: string
  let host: TestHost
  let one: Shell
  let two: Shell
  let port: number
  let capture: string
  let uploaded = 0
  let ovs: TestOpenVswitch | undefined
  const server = createHttp((request, response) => {
    request.on('data', (bytes: Uint8Array) => (uploaded += bytes.length))
    request.on('end', () => response.end(request.url === '/big' ? 'x'.repeat(BIG) : 'hello\n'))
  })

  /** Boots a guest with `vif` and waits for its address. */
  async function boot(name: string, vif: string): Promise<Shell> {
    const shell = await Shell.take(host.start('create', '-c',
      host.config(name, { ...cloud.settings, vif: [vif] })))
    await shell.output('for i in $(seq 200); do ip route | grep -q default && break; sleep 0.1; ' +
      'done; ip route | grep default')
    return shell
  }

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'xenolith-tftp-'))
    if (!openVswitchMissing) ovs = new TestOpenVswitch()
    host = new TestHost({
      environment: { XENOLITH_TFTP: folder, XENOLITH_BOOTFILE: 'netboot', ...ovs?.environment },
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    port = await freePort()
    capture = join(folder, 'one.pcapng')
    one = await boot('one',
      `mac=00:16:3e:00:00:01,ip=10.0.2.31,forward=tcp:${port}:80,capture=${capture}`)
  })

  after(async () => {
    server.close()
    await host.close()
    await ovs?.close()
    rmSync(folder, { recursive: true })
  })

  const url = (path: string): string =>
    `http://10.0.2.2:${(server.address() as AddressInfo).port}${path}`

  test('DHCP gives the address that the configuration names, a route and a resolver', async () => {
    assert.match(await one.output('ip addr show eth0'), /inet 10\.0\.2\.31\/24 /)
    assert.match(await one.output('ip route'), /^default via 10\.0\.2\.2 dev eth0/m)
    assert.equal(await one.output('cat /etc/resolv.conf'), 'nameserver 10.0.2.3\n')
    assert.match(await one.output('cat /proc/interrupts'), /vif0-q0-tx[^]*vif0-q0-rx/)
  })

  test('the gateway answers pings', async () => {
    assert.match(await one.output('ping -c 2 10.0.2.2'), / 0% packet loss/)
  })

  test('the guest fetches from a server on the host\'s loopback', async () => {
    assert.equal(await one.output(`wget -qO- ${url('/')}`), 'hello\n')
    assert.equal(await one.output(`wget -qO- ${url('/big')} | wc -c`), `${BIG}\n`)
  })

  test('the guest sends to a server on the host\'s loopback', async () => {
    await one.output(`tr '\\0' x </dev/zero | head -c ${BIG} >/tmp/big`)
    await one.output(`wget -qO- --post-file=/tmp/big ${url('/')}`)
    assert.equal(uploaded, BIG)
  })

  test('the guest fetches a file of the host\'s TFTP folder', async () => {
    writeFileSync(join(folder, 'netboot'), 'y'.repeat(5000))
    await one.output('tftp -g -r netboot -l /tmp/netboot 10.0.2.2; tftp -b 1400 -g -r netboot ' +
      '-l /tmp/again 10.0.2.2')
    assert.equal(await one.output('cat /tmp/netboot /tmp/again | wc -c'), '10000\n')
    assert.notEqual((await one.run('tftp -g -r ../../etc/passwd 10.0.2.2')).status, 0)
  })

  test('DHCP names the file to boot, and the server that has it', async () => {
    const script = `#!/bin/sh\\n[ "$1" != bound ] || echo "$siaddr has $boot_file"\\n`
    assert.match(await one.output(`printf '${script}' >/tmp/s; chmod +x /tmp/s; ` +
      'udhcpc -f -i eth0 -n -q -s /tmp/s </dev/null'), /^10\.0\.2\.2 has netboot$/m)
  })

  test('the frames of the interface are in its capture', { skip: !tshark && 'no tshark' }, () => {
    const { stdout } = spawnSync('tshark', ['-r', capture, '-Y', 'tftp or http or dhcp', '-T',
      'fields', '-e', 'frame.protocols', '-e', 'ip.src'], { encoding: 'utf8' })
    const seen = new Set(stdout.split('\n').map((line) => line.replace(/^.*:/, '')))
    for (const frame of ['dhcp\t0.0.0.0', 'dhcp\t10.0.2.2', 'tftp\t10.0.2.31', 'http\t10.0.2.31']) {
      assert.ok(seen.has(frame), `${frame} among ${[...seen].join(', ')}`)
    }
  })

  test('a port of the host where nobody listens refuses', async () => {
    const { status } = await one.run(`wget -qO- http://10.0.2.2:${await freePort()}/`)
    assert.equal(status, 1)
  })

  test('a forwarded port leads to the guest\'s server', async () => {
    await one.output('echo from the guest >/tmp/index.html; httpd -p 80 -h /tmp')
    const answer = await talk(port, 'GET /index.html HTTP/1.0\r\n\r\n')
    assert.match(answer, /^HTTP\/1\.[01] 200 OK\r\n[^]*from the guest\n$/)
  })

  test('xl lists interfaces; one is attached, comes up, and is detached', async () => {
    const first = '0   0  00:16:3e:00:00:01     0     4     -1 '
    assert.ok((await host.xl('network-list', 'one')).out.includes(first))
    const attached = await host.xl('network-attach', 'one', 'mac=00:16:3e:00:00:09')
    assert.deepEqual([attached.code, attached.err], [0, ''])
    await one.output('for i in $(seq 100); do [ -e /sys/class/net/eth1 ] && break; sleep 0.1; ' +
      'done; ip link show eth1')
    const { out } = await host.xl('network-list', 'one')
    assert.match(out, /^1   0  00:16:3e:00:00:09     1     4     -1 .*\/vif\/1\/1\n/m)
    const detached = await host.xl('network-detach', 'one', '1')
    assert.equal(detached.code, 0)
    assert.doesNotMatch((await host.xl('network-list', 'one')).out, /^1 /m)
    assert.notEqual((await one.run('ip link show eth1')).status, 0)
  })

  test('two guests reach one another, and a bridge that is not there is refused', async () => {
    two = await boot('two', '')
    const address = /inet ([\d.]+)\/24/.exec(await two.output('ip addr show eth0'))?.[1]
    assert.match(await one.output(`ping -c 2 ${address}`), / 0% packet loss/)
    assert.equal(await two.output('wget -qO- http://10.0.2.31/index.html'), 'from the guest\n')
    const attached = await host.xl('network-attach', 'two', 'bridge=nowhere')
    assert.equal(attached.code, 1)
    assert.match(attached.err, /there is no bridge "nowhere"/)
  })

  describe('on Open vSwitch', { skip: openVswitchMissing }, () => {
    const attach = async (guest: string, bridge: string, rest = ''): Promise<string> => {
      const vif = `script=vif-openvswitch,bridge=${bridge}${rest}`
      return (await host.xl('network-attach', guest, vif)).err
    }
    const vsctl = (...words: readonly string[]): string =>
      ovs!.run('ovs-vsctl', '--timeout=10', ...words)

    before(async () => {
      vsctl('add-br', 'ovsbr0', '--', 'set', 'bridge', 'ovsbr0', 'datapath_type=dummy')
      for (const [guest, shell, last, tag] of [['one', one, 1, 20], ['two', two, 2, 30]] as const) {
        assert.equal(await attach(guest, 'ovsbr0.10', ',mac=00:16:3e:00:00:0' + last), '')
        assert.equal(await attach(guest, `ovsbr0.${tag}`, `,vifname=tag${tag}`), '')
        await shell.output('for i in $(seq 100); do [ -e /sys/class/net/eth2 ] && break; ' +
          'sleep 0.1; done; for i in 1 2; do ip link set eth$i up; ' +
          `ip addr add 10.1.$i.${last}/24 dev eth$i; done`)
      }
    })

    test('guests of one VLAN reach one another, and those of others do not', async () => {
      assert.match(await one.output('ping -c 2 -W 5 10.1.1.2'), / 0% packet loss/)
      assert.match((await one.run('ping -c 1 -W 1 10.1.2.2')).output, / 100% packet loss/)
      // Large frames, and checksums that guests leave to others.
      await two.output('tr "\\0" y </dev/zero | head -c 999999 >/tmp/b; httpd -p 81 -h /tmp')
      assert.equal(await one.output('wget -qO- http://10.1.1.2:81/b | wc -c'), '999999\n')
    })

    test('the switch shows ports with their tags, guests and frames', () => {
      const show = vsctl('show')
      for (const [port, tag] of [['vif1.1', 10], ['tag20', 20], ['vif2.1', 10], ['tag30', 30]]) {
        assert.match(show, new RegExp(`Port "?${port}"?\\n +tag: ${tag}\\n`))
      }
      assert.match(vsctl('get', 'interface', 'vif1.1', 'external_ids'),
        /attached-mac="00:16:3e:00:00:01", xen-vm-name=one, xen-vm-uuid="[\da-f-]{36}"/)
      const dump = ovs!.run('ovs-ofctl', 'dump-ports', 'ovsbr0', 'vif1.1')
      assert.ok(Number(/rx pkts=(\d+)/.exec(dump)?.[1]) > 20, dump)
    })

    test('a bridge that is not there is refused; what is detached is gone', async () => {
      assert.match(await attach('one', 'ovsbr9'),
        /unable to add vif device 3: ovs-vsctl: no row "ovsbr9" in table Bridge/)
      assert.equal((await host.xl('network-detach', 'one', '2')).code, 0)
      // In the switch one follows the other.
      assert.equal(await attach('one', 'ovsbr0:40:50', ',vifname=last'), '')
      assert.deepEqual(vsctl('list-ports', 'ovsbr0').trim().split('\n').sort(),
        ['last', 'tag30', 'vif1.1', 'vif2.1'])
      assert.equal(vsctl('get', 'port', 'last', 'trunks'), '[40, 50]\n')
    })
  })

  test('a guest that ends leaves nothing of its interface behind', async () => {
    two.console.send('poweroff\n')
    await two.console.ended()
    const { out } = await host.xl('network-list', 'one', 'two')
    assert.match(out, /\/vif\/1\/0/)
    assert.doesNotMatch(out, /\/vif\/2\//)
  })
})
