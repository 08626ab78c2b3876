/**
 * `vif=[...]`: what its items mean. Figures and messages were seen with real xl 4.17.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseVif, VifError } from './vif.ts'

function parsed(text: string) {
  return parseVif(text, (line) => assert.fail(line))
}

test('nothing is a whole interface', () => {
  assert.deepEqual(parsed(''), {})
})

test('every key is read, with spaces before it', () => {
  assert.deepEqual(parsed(' mac=00:16:3E:1:22:33, bridge=a,script=vif-x,ip=10.0.0.1,vifname=v,' +
    'type=ioemu,model=e1000,gatewaydev=eth1,backend=net,devid=3,mtu=9000,trusted=0,' +
    'capture=/tmp/f.pcapng'), {
    mac: '00:16:3e:01:22:33', bridge: 'a', script: 'vif-x', ip: '10.0.0.1', vifname: 'v',
    type: 'ioemu', model: 'e1000', gatewaydev: 'eth1', backend: 'net', devid: 3, mtu: 9000,
    trusted: false, capture: '/tmp/f.pcapng',
  })
})

test('a rate is in bits or bytes a second, given out every 50 ms or as it says', () => {
  const rate = (text: string) => parsed(`rate=${text}`).rate
  assert.deepEqual(rate('10Mb/s'), { bytes: 62500, intervalUs: 50000 })
  assert.deepEqual(rate('250KB/s@20ms'), { bytes: 5000, intervalUs: 20000 })
  assert.deepEqual(rate('1MB/s@2s'), { bytes: 2000000, intervalUs: 2000000 })
  assert.deepEqual(rate('8000b/s@500000us'), { bytes: 500, intervalUs: 500000 })
})

const refusals: readonly [string, string][] = [
  ['mac=zz', 'Invalid parameter `mac\'.'],
  ['type=bad', 'Invalid parameter `type\'.'],
  ['mtu=abc', 'xl: failed to convert "abc" to number'],
  ['mtu=20', 'xl: 20 is not from 68 to 65535'],
  ['trusted=2', 'xl: 2 is not from 0 to 1'],
  ['rate=xx', 'config parsing error in vif: invalid rate in `xx\''],
  ['rate=0b/s', 'config parsing error in vif: rate overflow in `0b/s\''],
  ['rate=5000000GB/s', 'config parsing error in vif: rate overflow in `5000000GB/s\''],
  ['rate=10mb/s@5us', 'config parsing error in vif: invalid rate in `10mb/s\''],
  ['rate=10Mb/s@', 'config parsing error in vif: invalid replenishment interval in `\''],
  ['rate=10Mb/s@0s', 'config parsing error in vif: invalid replenishment interval in `0s\''],
  ['forward=80', 'invalid forward "80": PROTOCOL:HOSTPORT:GUESTPORT is meant'],
  ['forward=tcp:0:80', 'invalid forward "tcp:0:80": PROTOCOL:HOSTPORT:GUESTPORT is meant'],
]

for (const [text, message] of refusals) {
  test(`${text} is refused`, () => {
    assert.throws(() => parsed(text), (error) => {
      assert(error instanceof VifError)
      assert.equal(error.message, message)
      return true
    })
  })
}

test('ports may be forwarded several times, over TCP unless it says UDP', () => {
  assert.deepEqual(parsed('forward=8080:80,forward=udp:5353:53').forwards,
    ['tcp:8080:80', 'udp:5353:53'])
})

test('what xl does not know is named and left out', () => {
  const lines: string[] = []
  const vif = parseVif('foo=1,bridge,accel=x,00:16:3e:11:22:33,mtu=1400', (line) =>
    void lines.push(line))
  assert.deepEqual(vif, { mtu: 1400 })
  assert.deepEqual(lines, [
    'unrecognized argument `foo=1\'', 'unrecognized argument `bridge\'',
    'the accel parameter for vifs is currently not supported',
    'unrecognized argument `00:16:3e:11:22:33\'',
  ])
})
