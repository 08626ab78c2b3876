/**
 * The initramfs of the first guest: one static busybox, and an init that gives a shell on the Xen
 * console.
 *
 * A network interface that is there at the start is brought up by DHCP, in the background. The PV
 * drivers are modules of the kernel's package; disks may also come later.
 *
 * When the shell ends, the domain powers off, so that `xl create -c` ends with it.
 */
import { type CpioEntry, writeCpio } from './cpio.ts'

/**
 * busybox installs its applets as links at each start, which costs less than carrying them.
 *
 * Process 1 does nothing but wait, because a shell acts on signals only while it waits: busybox's
 * poweroff, reboot and halt signal process 1, and so does the kernel, through them, when the
 * toolstack asks for a shutdown. The user's shell has a session of its own with the console as
 * controlling terminal, and thus job control. The first setsid makes the second a leader, which
 * must fork and returns at once; a shell's & would do that too, but makes all after it ignore
 * Ctrl-C. A console of unknown size gets a size, or the shell would ask the terminal for it before
 * each line.
 */
const INIT = `#!/bin/busybox sh
bb=/bin/busybox
$bb mkdir -p /proc /sys /dev /run /tmp /root /sbin /usr/bin /usr/sbin
$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs devtmpfs /dev 2>/dev/null
$bb mkdir -p /dev/pts
$bb mount -t devpts devpts /dev/pts
$bb mount -t tmpfs tmpfs /run
$bb mount -t tmpfs tmpfs /tmp
$bb --install -s
export PATH=/sbin:/usr/sbin:/bin:/usr/bin HOME=/root TERM=vt102
hostname -F /etc/hostname
dmesg -n 4
cd /root

[ -e /lib/modules/xen-blkfront.ko ] && insmod /lib/modules/xen-blkfront.ko
if [ -n "$(ls -d /sys/bus/xen/devices/vif-* 2>/dev/null)" ]; then
  insmod /lib/modules/xen-netfront.ko
  ip link set lo up
  for path in /sys/class/net/eth*; do
    [ -e $path ] && udhcpc -b -q -S -t 5 -i \${path##*/} >/dev/null 2>&1 </dev/null &
  done
fi

down() {
  echo "The system is going down: $1."
  sync
  $1 -f
}
trap 'down poweroff' USR2
trap 'down reboot' TERM
trap 'down halt' USR1

type=$(cat /sys/hypervisor/type 2>/dev/null)
guest=$(cat /sys/hypervisor/guest_type 2>/dev/null)
echo
echo "Linux $(uname -r), hypervisor: \${type:-none}, guest type: \${guest:-none}."
echo "This is busybox's shell; 'exit' or 'poweroff' ends the domain."
echo
stty size </dev/console >/dev/null 2>&1 || stty rows 24 cols 80 </dev/console
setsid setsid cttyhack sh -c 'sh -l; poweroff' </dev/console >/dev/console 2>&1
while :; do sleep 100000 & wait $!; done
`

/** What busybox's udhcpc calls at each step, with what it was told in the environment. */
const DHCP_SCRIPT = `#!/bin/sh
case $1 in
  deconfig)
    ip addr flush dev $interface
    ip link set $interface up ;;
  bound|renew)
    ip addr flush dev $interface
    ip addr add $ip/\${mask:-24} dev $interface
    [ -n "$router" ] && ip route replace default via \${router%% *} dev $interface
    for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf ;;
esac
`

/** A kernel module, not packed. */
export interface KernelModule {
  readonly name: string
  readonly content: Uint8Array
}

/** The archive: Linux unpacks it into its root and runs /init. */
export function buildInitramfs(
  busybox: Uint8Array, modules: readonly KernelModule[] = [], hostname = 'xenolith',
): Uint8Array {
  const text = (content: string) => new TextEncoder().encode(content)
  const entries: CpioEntry[] = [
    { kind: 'directory', path: 'bin' },
    { kind: 'directory', path: 'dev' },
    { kind: 'directory', path: 'etc' },
    { kind: 'directory', path: 'root', mode: 0o700 },
    { kind: 'device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, content: busybox },
    { kind: 'link', path: 'bin/sh', target: 'busybox' },
    { kind: 'file', path: 'etc/hostname', content: text(`${hostname}\n`) },
    { kind: 'file', path: 'etc/passwd', content: text('root:x:0:0:root:/root:/bin/sh\n') },
    { kind: 'file', path: 'etc/group', content: text('root:x:0:\n') },
    { kind: 'file', path: 'etc/profile', content: text("PS1='\\h:\\w\\$ '\n") },
    { kind: 'directory', path: 'lib' },
    { kind: 'directory', path: 'lib/modules' },
    ...modules.map(({ name, content }): CpioEntry =>
      ({ kind: 'file', path: `lib/modules/${name}`, content })),
    { kind: 'directory', path: 'etc/udhcpc' },
    {
      kind: 'file', path: 'etc/udhcpc/default.script', mode: 0o755,
      content: text(DHCP_SCRIPT),
    },
    { kind: 'file', path: 'init', mode: 0o755, content: text(INIT) },
  ]
  return writeCpio(entries)
}
