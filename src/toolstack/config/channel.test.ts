/**
 * Channels as xl reads them.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { ChannelError, parseChannel } from './channel.ts'

function refused(text: string): string {
  try {
    parseChannel(text, 3, () => {})
  } catch (error) {
    if (error instanceof ChannelError) return error.message
    throw error
  }
  return assert.fail(`${text} is accepted`)
}

test('keys may come in any order, and with spaces', () => {
  const said: string[] = []
  const parse = (text: string) => parseChannel(text, 0, (line) => void said.push(line))
  assert.deepEqual(parse('connection=pty,name=org.a'), { name: 'org.a', connection: 'pty' })
  assert.deepEqual(parse(' name = b, path=/s , connection=socket, backend=0'),
    { name: 'b', connection: 'socket', path: '/s' })
  assert.deepEqual(parse('connection=pty,name=c,path=/unused,speed=9'),
    { name: 'c', connection: 'pty' })
  assert.deepEqual(said, ["unknown channel parameter 'speed', ignoring"])
})

test('mistakes are said in xl\'s words', () => {
  assert.equal(refused('name=a'), "channel has unknown 'connection'")
  assert.equal(refused('connection=tcp,name=a'), "unknown channel connection 'tcp'")
  assert.equal(refused('connection=socket,name=a'),
    "channel connection 'socket' requires path=..")
  assert.equal(refused('connection'), 'failed to parse channel configuration: connection')
  assert.equal(refused('connection=pty'), 'channel 3 has no name')
  assert.match(refused('connection=pty,name=a,backend=net'), /driver domains/)
})
