/**
 * How some two thousand hypercalls are answered, most of them wrong, beside the answers of real
 * Xen 4.17 (golden/answers.txt). The guest that makes them is answers/answers.c. gcc is needed.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { compile } from './c-program.ts'
import { TestHost } from './test-host.ts'

const folder = join(import.meta.dirname, 'answers')
const others = ['start.S', 'sweep.c', 'domains.c', 'hvm.c', 'grants.c', 'memory.c', 'events.c',
  'processors.c'].map((name) => join(folder, name))
const kernel = compile('answers/answers.c', '-ffreestanding', '-nostdlib', '-fno-pic', '-no-pie',
  '-mgeneral-regs-only', '-mno-red-zone', '-fno-stack-protector',
  '-fno-asynchronous-unwind-tables', '-Wl,--build-id=none', '-T', join(folder, 'link.ld'),
  ...others)

/** What the guest does not print. */
const ENOSYS = '-38'

/** Our answers where they are not Xen's, and why they are not. */
const KNOWN: readonly { readonly why: string; readonly ours: string }[] = [
  {
    why: 'not here: lists of machine frames (5, 25), exchange, access, reserved device memory',
    ours: 'memory_op 5|11|21|25|27 zero|ones|self|bad|third = -38',
  },
  {
    why: 'not here: entries of grants are not swapped, and there is no version 2 of them',
    ours: `grant_table_op 11 zero|ones|self|bad|third = -38
      set_version 2 = -38 version 1`,
  },
  {
    why: 'not here: PVH guests start processors through their LAPICs, not by initialise',
    ours: 'vcpu_op 0 bad|third = -38',
  },
  {
    why: 'not here: reset_cont, by which real Xen goes on with a long reset',
    ours: 'event_channel_op 14 zero|ones|self|bad|third = -38',
  },
  {
    why: 'not here: pagetable_dying and xentrace',
    ours: 'hvm_op 9|11 zero|ones|self|bad|third = -38',
  },
  {
    why: 'not here: mmuext_op, xenpmu_op, dm_op, hypfs_op, and the paging domctl that continues',
    ours: 'hypercall 26|40|41|42|49 0 zero|ones|self|bad|third = -38',
  },
  {
    why: 'domain 0 is a PV domain there, which is looked at before the right to ask',
    ours: `memory_op 7|15|23 zero = -1
      memory_op 16|17 zero|self = -1
      hvm_op 0|1 zero = -1`,
  },
  {
    why: 'pages that nothing maps are not given to guests whose memory is translated',
    ours: 'increase_reservation order 0|3 = 0',
  },
  {
    why: 'the ACPI tables are in seven pages less',
    ours: 'memory_op 3 self = 16394',
  },
]

/**
 * Lines "KEY = ANSWER" by key. A word of a key may stand for several, and the line then for as
 * many: `zero|bad`, `3..7`.
 */
function parse(text: string): Map<string, string> {
  const answers = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [pattern, answer] = line.trim().split(' = ')
    if (answer === undefined || line.startsWith('#')) continue
    for (const key of keysOf(pattern!.split(' '))) {
      assert.ok(!answers.has(key), `${key} is there twice`)
      answers.set(key, answer)
    }
  }
  return answers
}

function keysOf([word, ...rest]: readonly string[]): readonly string[] {
  if (word === undefined) return ['']
  const ends = keysOf(rest)
  return wordsOf(word).flatMap((first) => ends.map((end) => end ? `${first} ${end}` : first))
}

function wordsOf(pattern: string): readonly string[] {
  return pattern.split('|').flatMap((word) => {
    const [first, last] = word.split('..').map(Number)
    if (last === undefined) return [word]
    return Array.from({ length: last - first! + 1 }, (_, i) => `${first! + i}`)
  })
}

describe('hypercalls of a guest', { skip: !kernel && 'gcc cannot make a bare program' }, () => {
  const host = new TestHost({ memoryMb: 512 })
  const theirs = parse(readFileSync(join(import.meta.dirname, 'golden/answers.txt'), 'utf8'))
  const known = parse(KNOWN.map(({ ours }) => ours).join('\n'))
  let ours: Map<string, string>

  before(async () => {
    const settings = { kernel: host.file('kernel', kernel!), memory: 64 }
    const console = host.start('create', '-c', host.config('answers', settings))
    ours = parse(await console.expect('That is all.'))
  })
  after(() => host.close())

  test('are answered as on real Xen, but for what is known', () => {
    const keys = [...new Set([...theirs.keys(), ...ours.keys()])]
    const wrong = keys.flatMap((key) => {
      const answer = ours.get(key) ?? ENOSYS
      const expected = known.get(key) ?? theirs.get(key) ?? ENOSYS
      return answer === expected ? [] : [`${key} = ${answer}, not ${expected}`]
    })
    assert.deepEqual(wrong, [])
  })

  test('differ where they are known to', () => {
    const same = [...known].filter(([key, answer]) => answer === (theirs.get(key) ?? ENOSYS))
    assert.deepEqual(same, [])
  })
})
