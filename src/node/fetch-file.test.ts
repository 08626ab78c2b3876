/**
 * Files of web servers, on the loopback.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { fetchFile } from './fetch-file.ts'

const server = createServer((request, response) => {
  if (request.url !== '/file') response.statusCode = 404
  response.end('x'.repeat(5000))
})
let base = ''

before(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

after(() => {
  server.closeAllConnections()
  server.close()
})

test('a file is fetched whole', async () => {
  assert.equal((await fetchFile(`${base}/file`, 5000)).length, 5000)
})

test('a file that is too large, or not there, or nobody\'s, is refused', async () => {
  await assert.rejects(fetchFile(`${base}/file`, 4999), /\/file: the file is too large$/)
  await assert.rejects(fetchFile(`${base}/none`, 5000), /\/none: 404 Not Found$/)
  await assert.rejects(fetchFile('http://127.0.0.1:1/file', 5000), /:1\/file: /)
})
