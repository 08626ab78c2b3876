/**
 * What debug keys say, beside the lines of the same keys on real Xen 4.17.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { asDomid, asGfn, asGrantRef } from '../../src/abi/numbers.ts'
import { newDomain, newMachine } from './machine.ts'

function house() {
  const machine = newMachine(32)
  const { control } = machine
  const domid = newDomain(machine, 64, 2)
  return {
    ...machine, domid,
    /** The lines that a key adds to the log, without Xen's name before each. */
    press(keys: string): string[] {
      control.xenctrl.readConsole(true)
      control.xenctrl.sendDebugKeys(keys)
      const text = new TextDecoder().decode(control.xenctrl.readConsole(true))
      return text.split('\n').slice(0, -1).map((line) => line.replace(/^\(XEN\) /, ''))
    },
  }
}

test('h shows the keys, and one without a meaning nothing', () => {
  const { press, control } = house()
  const shown = press('h')
  assert.equal(shown[0], "'h' pressed -> showing installed handlers")
  assert.deepEqual(shown.slice(1).map((line) => line.slice(0, 8)),
    ['e', 'g', 'h', 'q', 'r'].map((key) => ` key '${key}'`))
  assert.deepEqual(press('~!'), [])
  control.close()
})

test('q tells of domains and their VCPUs', () => {
  const { press, control, domid } = house()
  control.xenctrl.setVcpuAffinity(domid, 1, { hard: new Uint8Array([1]) })
  const lines = press('q')
  const own = lines.slice(lines.indexOf(`General information for domain ${domid}:`))
  assert.equal(own[1], '    pause_count=1 shutdown=0')
  assert.match(own[2] ?? '', /^ {4}nr_pages=64 max_pages=\d+ p2m_frames=\d+ superpages=0$/)
  assert.equal(own[3], `NODE affinity for domain ${domid}: [0]`)
  assert.deepEqual(own.filter((line) => line.includes('affinities')), [
    '  UNIT0 affinities: hard={0-1} soft={0-1}', '  UNIT1 affinities: hard={0} soft={0-1}',
  ])
  assert.ok(own.some((line) => /^ {4}VCPU1: CPU\d \[has=F\] poll=0 upcall_pend=00$/.test(line)))
  assert.deepEqual(lines.slice(-2),
    [0, 1].map((vcpu) => `Notifying guest ${domid}:${vcpu} (virq 1)`))
  control.close()
})

test('e tells of ports: state, VCPU, other end', () => {
  const { press, control, domid } = house()
  const remote = control.events.allocUnbound(domid, asDomid(0))
  const unbound = control.events.allocUnbound(domid, asDomid(0))
  const port = control.events.bindInterdomain(domid, remote)
  const lines = press('e')
  const own = lines.slice(lines.indexOf(`Event channel information for domain ${domid}:`))
  assert.deepEqual(own.slice(1, 5), [
    'Polling vCPUs: {}', '    port [p/m/s]',
    `       ${remote} [0/0/  -   ]: s=3 n=0 x=0 d=0 p=${port}`,
    `       ${unbound} [0/0/  -   ]: s=2 n=0 x=0 d=0`,
  ])
  control.close()
})

test('g tells of grants that are used, and by whom', () => {
  const { press, control, domid } = house()
  const empty = press('g')
  assert.equal(empty.filter((line) => line === 'no active grant table entries').length, 2)
  control.grants.seed(domid, asGrantRef(8), asDomid(0), asGfn(3))
  const mapping = control.grants.map(domid, [asGrantRef(8)], true)
  const lines = press('g')
  const own = lines.slice(lines.indexOf(`grant-table for remote d${domid} (v1)`))
  assert.match(own[1] ?? '', /^ {2}1 frames \(64 max\), 0 maptrack frames \(1024 max\)$/)
  assert.match(own[2] ?? '',
    /^\[0x008\] {6}0 0x[0-9a-f]{5} 0x00000001 {10}0 0x000003 0x19$/)
  mapping.unmap()
  assert.deepEqual([empty[0], empty.at(-1)],
    ["gnttab_usage_print_all [ key 'g' pressed", 'gnttab_usage_print_all ] done'])
  control.close()
})

test('r tells of pools, and of who runs and waits in them', () => {
  const { press, control, domid } = house()
  const lines = press('r')
  assert.deepEqual(lines.slice(1, 6), [
    'Cpupool 0:', 'Cpus: 0-1', 'Scheduler: credit2', 'Domain info:',
    `\tDomain: ${domid} w 256 c 0 v 2`,
  ])
  assert.deepEqual(lines.filter((line) => line.startsWith('CPU[')).map((line) =>
    line.replace(/runq=\d/, 'runq')), ['CPU[00] runq run: idle', 'CPU[01] runq run: idle'])
  assert.ok(lines.some((line) => /^RUNQ \d: 0 waiting$/.test(line)))
  control.close()
})
