/**
 * The options of each command, as `xl help COMMAND` of real xl 4.17 lists them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { xl } from './fake-world.ts'

/** A command a line, with its global options; what is indented goes on. */
const REAL = `
block-attach vtTfN
block-detach vtTf -f --force
block-list vtT
button-press vtTf
cd-eject vtTfN
cd-insert vtTfN
channel-list vtT
claims vtT
config-update vtTfN -h -f --defconfig -d
console vtT -t -n
cpupool-cpu-add vtTf
cpupool-cpu-remove vtTf
cpupool-create vtTfN -h --help -f --defconfig -n --dryrun
cpupool-destroy vtTf
cpupool-list vtT -c --cpus
cpupool-migrate vtTf
cpupool-numa-split vtTf
cpupool-rename vtTf
create vtTfN -c -d -e -F -f --defconfig -h -n --dryrun -p -q --quiet -V --vncviewer -A
  --vncviewer-autopass --ignore-global-affinity-masks
debug-keys vtTf
destroy vtTf -f
devd vtTf -F -p --pidfile
dmesg vtT -c
domid vtT
domname vtT
dump-core vtTf
getenforce vtT
info vtT
list vtT -l --long -v --verbose -Z --context -c --cpupool -n --numa
loadpolicy vtTf
mem-max vtTf
mem-set vtTf
network-attach vtTfN
network-detach vtTf
network-list vtT
pause vtTf
pci-assignable-list vtT -h -n --show-names
pci-list vtT
psr-cat-show vtTf -l
psr-cmt-show vtTf
psr-hwinfo vtTf -m --cmt -a --cat -b --mba
psr-mba-show vtTf
reboot vtTf -a --all -h -F -w --wait
rename vtTf
sched-credit vtTf -d --domain -w --weight -c --cap -s -t --tslice_ms -r --ratelimit_us -m
  --migration_delay_us -p
  --cpupool
sched-credit2 vtTf -d --domain -w --weight -c --cap -s -r --ratelimit_us -p --cpupool
sched-rtds vtTf -d --domain -v -p --period -b --budget -e --extratime
setenforce vtTf
sharing vtT
shutdown vtTf -a --all -h -F -w --wait
sysrq vtTf
top vtT
trigger vtTf
unpause vtTf
uptime vtT
usb-list vtT
vcpu-list vtT
vcpu-pin vtTfN -f --force --ignore-global-affinity-masks
vcpu-set vtTf -i --ignore-host
vdispl-list vtT
vkb-list vtT
vm-list vtT
vsnd-list vtT
vtpm-list vtT
`

const commands = REAL.trim().split(/\n(?! )/).map((line) => {
  const [name = '', globals = '', ...options] = line.split(/\s+/)
  return { name, globals, options }
})

test('the help of a command names the options that real xl\'s names', async () => {
  const { run } = xl()
  for (const { name, globals, options } of commands) {
    const { out } = await run(`help ${name}`)
    assert.ok(out.startsWith(`Usage: xl [-${globals}] ${name}`), out)
    for (const option of options) assert.match(out, new RegExp(`${option}\\b`), `${name} ${option}`)
  }
})

test('and the command takes them', async () => {
  const { run } = xl()
  for (const { name, options } of commands) {
    for (const option of options) {
      const { code, err } = await run(`${name} ${option} 1 --help`)
      assert.deepEqual([err, code], ['', 0], `${name} ${option}`)
    }
  }
})
