/**
 * Configurations of boot loaders, read.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BootConfig } from './boot-config.ts'
import { parseGrub2 } from './grub2.ts'
import { parseExtlinux, parseMenuLst } from './line-configs.ts'

/** What is read of a configuration, without the lines that it was read from. */
function readOf({ entries, defaultIndex }: BootConfig) {
  return { defaultIndex, entries: entries.map(({ lines: _, ...rest }) => rest) }
}

test('grub.cfg: entries of menus and submenus in order, arguments as they are written', () => {
  const { entries, defaultIndex } = readOf(parseGrub2(`
    if [ "\${next_entry}" ] ; then
       set default="\${next_entry}"
    else
       set default="2"
    fi
    function load_video { insmod all_video; }
    function offer {
      menuentry 'not offered' { linux /no
      }
    }
    menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'simple' {
      set root='hd0,msdos1'; if [ x$a = xy ]; then search --set=root 12; fi
      echo 'Loading ...'
      linux\t/boot/vmlinuz root=UUID=1  ro "two words" $extra # not an argument
      initrd\t/boot/ucode.img ($root)/boot/initrd.img
    }
    # menuentry "left out" {
    submenu "More \\"quoted\\"" {
      submenu Deeper {
        menuentry "It's deep" { linux16 (hd0,gpt2)/k }
      }
      menuentry Firmware { fwsetup }
    }
    menuentry last { linuxefi /k a \\
      b; initrdefi /i; }`))
  assert.equal(defaultIndex, 2)
  assert.deepEqual(entries, [
    { title: 'Debian GNU/Linux', kernel: '/boot/vmlinuz',
      args: 'root=UUID=1  ro "two words" $extra',
      ramdisks: ['/boot/ucode.img', '/boot/initrd.img'] },
    { title: "It's deep", kernel: '/k', args: '', ramdisks: [] },
    { title: 'Firmware', args: '', ramdisks: [] },
    { title: 'last', kernel: '/k', args: 'a \\\n      b', ramdisks: ['/i'] },
  ])
})

test('grub.cfg: a default that is a name or the saved entry is the first', () => {
  for (const value of ['"${saved_entry}"', '"1>2"', 'gnulinux-6.1', '"Some title"']) {
    assert.equal(parseGrub2(`set default=3\nset default=${value}\n`).defaultIndex, 0)
  }
})

test('grub.cfg: braces that do not match and quotes without end end nothing but the text', () => {
  for (const text of [
    '}\n}\nmenuentry a {\nlinux /k\n}', 'menuentry a {\nlinux /k "x', '{', '\\', "'",
  ]) {
    assert(parseGrub2(text).entries.length <= 1)
  }
})

test('menu.lst: titles, devices, options of GRUB, and the default', () => {
  assert.deepEqual(readOf(parseMenuLst(`# comment
default=1
timeout 3
title  First, with spaces
root (hd0,0)
kernel --no-mem-option (hd0,0)/vmlinuz root=/dev/xvda  ro
initrd (hd0,0)/initrd.img
title Second
kernel=/k2
`)), {
    defaultIndex: 1,
    entries: [
      { title: 'First, with spaces', kernel: '/vmlinuz', args: 'root=/dev/xvda  ro',
        ramdisks: ['/initrd.img'] },
      { title: 'Second', kernel: '/k2', args: '', ramdisks: [] },
    ],
  })
  assert.equal(parseMenuLst('default saved\ntitle a\n').defaultIndex, 0)
})

test('extlinux.conf: labels, ramdisks among the arguments, names beside the file', () => {
  assert.deepEqual(readOf(parseExtlinux(`DEFAULT two
LABEL one
  MENU LABEL The first
  KERNEL ../vmlinuz
  APPEND root=/dev/a initrd=/i1,i2 ro
label two
  linux /vmlinuz
  initrd /initrd.img
  append quiet
`, '/boot/extlinux')), {
    defaultIndex: 1,
    entries: [
      { title: 'one', kernel: '/boot/extlinux/../vmlinuz', args: 'root=/dev/a  ro',
        ramdisks: ['/i1', '/boot/extlinux/i2'] },
      { title: 'two', kernel: '/vmlinuz', args: 'quiet', ramdisks: ['/initrd.img'] },
    ],
  })
})
