/**
 * Our store beside the two that Xen 4.17 has, xenstored and oxenstored, request by request.
 *
 * The transcripts were recorded in Dom0 of real Xen. Each answer must be that of one of the two;
 * what equals neither is in `ours`, with its reason.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ours } from './departures.ts'
import { TranscriptPlayer } from './transcript.ts'

const folder = join(import.meta.dirname, 'transcripts')

/** The reply, then the events: their order is not the protocol's, and differs between the two. */
function ordered(lines: readonly string[]): string[] {
  const events = lines.filter((line) => line.startsWith('  *'))
  return [...lines.filter((line) => !line.startsWith('  *')), ...events.sort()]
}

/** The script's lines, each with what was printed below it. */
function steps(text: string): { line: string, printed: string[] }[] {
  const found: { line: string, printed: string[] }[] = []
  for (const line of text.split('\n')) {
    if (line.startsWith('  ')) found.at(-1)?.printed.push(line)
    else if (line !== '' && !line.startsWith('#')) found.push({ line, printed: [] })
  }
  return found
}

function read(...names: string[]): string {
  return readFileSync(join(folder, ...names), 'utf8')
}

for (const name of readdirSync(join(folder, 'xenstored'))) {
  test(`requests are answered as by xenstored or oxenstored: ${name}`, () => {
    const player = new TranscriptPlayer(read('tree.txt'))
    const other = steps(read('oxenstored', name))
    const departures = [...ours[name] ?? []]
    for (const [i, { line, printed }] of steps(read('xenstored', name)).entries()) {
      const got = ordered(player.perform(line))
      const alternative = other[i]?.line === line ? other[i].printed : printed
      const accepted = [printed, alternative].map((lines) => ordered(lines).join('\n'))
      if (accepted.includes(got.join('\n'))) continue
      const departure = departures.shift()
      assert.deepEqual([line, ...got], departure, `${line}: neither ${accepted.join(' nor ')}`)
    }
    assert.deepEqual(departures, [], 'departures that did not occur')
  })
}
