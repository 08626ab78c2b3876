/**
 * Tables of a made-up run.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GuestResult, GuestResults } from '../guests/measure.ts'
import { textOf } from './tables.ts'

const setting = {
  date: '2026-01-02', commit: 'abc', cpu: 'a CPU', cores: 2, memoryGib: 4, load: [0.5, 1],
  os: 'Linux', node: 'v1',
}

function guest(system: string, coldCpu: number[]): GuestResult {
  return {
    system, coldCpu, coldWall: [], warmCpu: [], warmWall: [], memory: [],
    memoryAfter: [{ rss: 100, pss: 90, guest: 60 }],
  }
}

const guests: GuestResults = {
  systems: [guest('QEMU', [1, 1]), guest('ours', [2, 4]), guest('interpreter', [8, 8])],
  withoutGuests: [], failures: [],
  rows: [
    {
      name: 'fast', group: 'integer', what: 'a row', first: {},
      again: { QEMU: [1, 2], ours: [0.5, 1], native: [0.1, 0.1], interpreter: [1, 4] },
    },
    {
      name: 'slow', group: 'code', what: 'another', first: {},
      again: { QEMU: [1, 1], ours: [2, 2] },
    },
  ],
}

function lineOf(text: string, start: string): string[] {
  const line = text.split('\n').find((one) => one.startsWith(`| ${start}`))
  assert.ok(line, `${start} in\n${text}`)
  return line.split('|').slice(1, -1).map((cell) => cell.trim())
}

test('ratios of a row are medians within rounds, with the least and the most', () => {
  const text = textOf({ setting, guests })
  assert.deepEqual(lineOf(text, 'integer | ours /').slice(1, 5),
    ['ours / QEMU', 'ours / native', 'interpreter / ours', 'interpreter / QEMU'])
  assert.deepEqual(lineOf(text, '`fast`').slice(1, 6), [
    '0.50 (0.50–0.50)', '7.50 (5.00–10.0)', '3.00 (2.00–4.00)', '1.50 (1.00–2.00)',
    '15.0 (10.0–20.0)',
  ])
})

test('geometric means are by group and over all rows, of what both systems ran', () => {
  const text = textOf({ setting, guests })
  assert.deepEqual(lineOf(text, 'integer | 1'),
    ['integer', '1', '0.50', '7.50', '3.00', '1.50', '15.0'])
  assert.deepEqual(lineOf(text, 'code | 1'), ['code', '1', '2.00', '–', '–', '–', '–'])
  assert.deepEqual(lineOf(text, '**all**'),
    ['**all**', '2', '1.00', '7.50', '3.00', '1.50', '15.0'])
})

test('boots are set against QEMU\'s, and memory is what lies beyond the guest\'s', () => {
  const text = textOf({ setting, guests })
  assert.deepEqual(lineOf(text, 'cold, CPU s').slice(1, 3),
    ['3.00 (2.00–4.00)', '3.00 (2.00–4.00)'])
  assert.deepEqual(lineOf(text, 'ours, after the rows'),
    ['ours, after the rows', '40', '30', '100', '90', '60'])
})

test('a row that failed in some round has no ratio, and the failure stands first', () => {
  const [fast, slow] = guests.rows
  const broken = { ...slow!, again: { QEMU: [1, 1], ours: [2] } }
  const text = textOf({
    setting, guests: { ...guests, rows: [fast!, broken], failures: ['slow failed\non ours'] },
  })
  assert.equal(lineOf(text, '`slow`')[1], '–')
  assert.match(text, /\*\*Failure:\*\* slow failed on ours/)
})
