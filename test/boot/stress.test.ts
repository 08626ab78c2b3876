/**
 * Two guests with more VCPUs than the machine has cores, in which stress-ng finds nothing wrong.
 * `npm run soak` does the same with more stressors and for longer.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { coreStressors, startStressed, stress, stressFiles } from './stress.ts'
import { TestHost } from './test-host.ts'

const SECONDS = 3

const files = await stressFiles()

describe('guests with two and four VCPUs on two cores', { skip: files.missing }, () => {
  const host = new TestHost({ environment: { XENOLITH_CORES: '2' } })
  before(() => host.xl('list'))
  after(() => host.close())

  test('compute, share memory, fork and wake one another without a mistake', async () => {
    const failures = await Promise.all([2, 4].map(async (vcpus) => {
      const guest = await startStressed(host, files, vcpus)
      return stress(guest, coreStressors, 1, SECONDS)
    }))
    assert.deepEqual(failures.flat(), [])
  })
})
