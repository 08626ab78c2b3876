/**
 * xl.cfg files and what real xl 4.17 said to them (its own words, recorded from runs).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { specOf } from '../domain/spec.ts'
import { type DomainConfig, loadDomainConfig, refusalOf } from './domain.ts'
import { ConfigError } from './parser.ts'

const BASE = 'name="a"\ntype="pvh"\nkernel="/boot/vmlinuz"\nmemory=128\n'

function load(text: string, ...assignments: string[]) {
  return loadDomainConfig('a.cfg', text, assignments)
}

/** The configuration that BASE and `text` make, which must be without messages. */
function config(text: string, ...assignments: string[]): DomainConfig {
  const { config, messages } = load(BASE + text, ...assignments)
  assert.deepEqual(messages, [])
  return config
}

function expectMessages(text: string, ...lines: string[]): void {
  assert.deepEqual(load(BASE + text).messages, lines)
}

function expectFailure(text: string, ...lines: string[]): void {
  assert.throws(() => load(text), (error: unknown) => {
    assert(error instanceof ConfigError, String(error))
    assert.deepEqual(error.lines, lines)
    return true
  })
}

function expectSyntaxError(text: string, ...errors: string[]): void {
  const lines = errors.map((error) => `a.cfg:${error}`)
  expectFailure(BASE + text, ...lines, 'Failed to parse config: Invalid argument')
}

const PYTHON = [
  'warning: Config file looks like it contains Python code.',
  'warning:  Arbitrary Python is no longer supported.',
  'warning:  See https://wiki.xen.org/wiki/PythonInXlConfig',
]

test('both quotes, numbers in three bases, comments, semicolons and blanks', () => {
  const { config } = load('name=\'a "b"\'; type = "pvh" # comment\n\n;;kernel="it\'s"\n' +
    '  memory=0x80\nvcpus=01 # one\n\tmaxmem=0400')
  assert.equal(config.name, 'a "b"')
  assert.equal(config.kernel, 'it\'s')
  assert.equal(config.memoryKib, 128 * 1024)
  assert.equal(config.maxMemoryKib, 256 * 1024)
  assert.equal(config.vcpus, 1)
})

test('strings have C\'s escapes', () => {
  const text = 'extra="a\\tb\\nc\\"d\\\\e\\\'f\\101\\x41"'
  assert.equal(config(text).commandLine, 'a\tb\nc"d\\e\'fAA')
  expectSyntaxError('extra="a\\qb"\n', '5: config parsing error near `"a\\qb"\': ' +
    'invalid character after backlash in quoted string')
  expectSyntaxError('extra="a\\0b"\n', '5: config parsing error near `"a\\0b"\': ' +
    'invalid digit after backslash octalnumerical character escape in quoted string')
  expectSyntaxError('extra=\'a\\x4\'\n', '5: config parsing error near `\'a\\x4\'\': ' +
    'invalid digit after backslash hexnumerical character escape in quoted string')
})

test('lists may nest, run over lines and end with a comma', () => {
  const text = 'disk=[\n# comment\n]\nvif = [ ]\nbootloader_args=[["a",],[],\n0\n,]\n'
  assert.deepEqual(config(text).wishes, [])
})

test('a list of devices is remembered as a wish that is refused', () => {
  const wished = config('vtpm=["backend=0"]\nvfb=["vnc=1"]\n')
  assert.deepEqual(wished.wishes.map((wish) => wish.option), ['vfb', 'vtpm'])
  assert.equal(refusalOf(wished), 'vfb: framebuffers are not supported yet')
  assert.equal(refusalOf(config('vfb=[]\n')), undefined)
})

test('disks are read, and refused in xl\'s words', () => {
  const { disks } = config('disk=["/x.img,raw,xvda,w", "/y,qcow2,xvdb"]\n')
  assert.deepEqual(disks.map(({ path, format, vdev }) => [path, format, vdev]),
    [['/x.img', 'raw', 'xvda'], ['/y', 'qcow2', 'xvdb']])
  assert.throws(() => config('disk=["/x"]\n'), {
    name: 'ConfigError', message: /: config parsing error in disk specification: no vdev/,
  })
})

test('a boot loader stands for a kernel, its arguments in a list or in words', () => {
  const load = (text: string) => loadDomainConfig('a.cfg', `name="a"\ntype="pvh"\n${text}`)
  const booted = (text: string) => load(text).config
  const { bootloader, bootloaderArgs, kernel } =
    booted('bootloader="pygrub"\nbootloader_args=["--entry=1", "a b"]\n')
  assert.deepEqual([bootloader, bootloaderArgs, kernel],
    ['pygrub', ['--entry=1', 'a b'], undefined])
  const { config, messages } = load('bootloader="pygrub"\nbootloader_args="-q --entry=1"\n')
  assert.deepEqual(config.bootloaderArgs, ['-q', '--entry=1'])
  assert.deepEqual(messages, ['WARNING: Specifying "bootloader_args" as a string is deprecated. ' +
    'Please use a list of arguments.'])
})

test('a type other than PVH is refused, but not by the parser', () => {
  const { config } = load('name="a"\nkernel="/k"\n')
  assert.equal(config.type, 'pv')
  assert.match(refusalOf(config)!, /only PVH domains/)
})

test('command-line assignments override, and count as further lines after an empty one', () => {
  assert.equal(config('', 'memory=64;vcpus=2', 'name="q"').vcpus, 2)
  assert.equal(config('', 'memory=64', 'name="q"').name, 'q')
  assert.throws(() => load(BASE, 'vcpus=2', 'foo=', 'bar=1', 'x y=2'), {
    lines: [
      'a.cfg:6: config parsing error near <newline>: syntax error, ' +
        'unexpected NEWLINE, expecting STRING or NUMBER or \'[\'',
      'a.cfg:9: config parsing error near `y\': syntax error, ' +
        'unexpected IDENT, expecting += or \'=\'',
      'Failed to parse config: Invalid argument',
    ],
  })
})

test('a later assignment wins, and += appends to strings and lists', () => {
  assert.equal(config('memory=256\n').memoryKib, 256 * 1024)
  assert.equal(config('extra=5\nextra+="a"\n').commandLine, '5a')
  assert.deepEqual(config('vif=["bridge=a"]\nvif+=["bridge=b"]\n').vifs,
    [{ devid: 0, bridge: 'a' }, { devid: 1, bridge: 'b' }])
  expectMessages('vcpus+=1\n',
    'a.cfg:5: warning: can\'t use += with numbers for parameter `vcpus\'')
  expectSyntaxError('extra="a"\nextra+=["z"]\n', '6: config parsing error near `]\': ' +
    'can\'t add [list] to "string" or vice versa')
})

test('a missing value is an error of the line before, in xl\'s counting', () => {
  const expecting = 'unexpected NEWLINE, expecting STRING or NUMBER or \'[\''
  expectSyntaxError('foo=\nbar=\nbaz=1\nqux=\n',
    `4: config parsing error near <newline>: syntax error, ${expecting}`,
    `5: config parsing error near <newline>: syntax error, ${expecting}`,
    `7: config parsing error near <newline>: syntax error, ${expecting}`)
  expectSyntaxError('foo= # x\n', `4: config parsing error near \`# x': syntax error, ${expecting}`)
})

test('an unfinished list is found at the end', () => {
  expectSyntaxError('vif=["a",\n',
    '5: config parsing error near `\': syntax error, unexpected $end, expecting \']\'')
  expectSyntaxError('foo=["a" "b"]\n',
    '5: config parsing error near `"b"\': syntax error, unexpected STRING, expecting \']\'')
})

test('one slip gives one message: errors are silent until three words in a row were good', () => {
  const expecting = 'unexpected NUMBER, expecting $end or IDENT or NEWLINE or \';\''
  expectSyntaxError('128\n129\nfoo=1\n130\n',
    `5: config parsing error near \`128': syntax error, ${expecting}`,
    `8: config parsing error near \`130': syntax error, ${expecting}`)
  expectSyntaxError('foo=1 bar=2\nbaz 1\n',
    '5: config parsing error near `bar\': syntax error, unexpected IDENT, expecting $end')
})

test('words that fit nowhere are lexical errors: capitals, backslashes, open strings', () => {
  expectSyntaxError('Foo=1\nmemory=\\\n128\nextra="abc\n',
    '5: config parsing error near `Foo=1\': lexical error',
    '6: config parsing error near `\\\': lexical error',
    '8: config parsing error near `"abc\': lexical error')
  expectSyntaxError('extra="""a\nb"""\n',
    '5: config parsing error near `"a\': lexical error',
    '6: config parsing error near `""\': syntax error, ' +
      'unexpected STRING, expecting += or \'=\'',
    '6: config parsing error near `"\': lexical error')
})

test('a file with carriage returns is refused as xl does', () => {
  expectFailure('name="a"\r\n', 'a.cfg:1: config parsing error near `\r\': lexical error',
    'Failed to parse config: Invalid argument')
})

test('signs of Python are answered with a hint', () => {
  expectFailure('memory=-5\n', 'a.cfg:1: config parsing error near `-5\': lexical error',
    ...PYTHON, 'Failed to parse config: Invalid argument')
  expectFailure('def f():\n  x=1\n',
    'a.cfg:1: config parsing error near `f\': syntax error, ' +
      'unexpected IDENT, expecting += or \'=\'',
    'a.cfg:1: config parsing error near `():\': lexical error',
    ...PYTHON, 'Failed to parse config: Invalid argument')
})

test('a value of the wrong type is a warning, and counts as absent', () => {
  expectMessages('disk="/x"\n',
    'a.cfg:5: warning: parameter `disk\' is a single value but should be a list')
  expectMessages('ramdisk=["x"]\n',
    'a.cfg:5: warning: parameter `ramdisk\' is a list but should be a single value')
  expectMessages('vcpus="two"\n', 'a.cfg:5: warning: parameter `vcpus\' is not a valid number')
  expectMessages('maxmem=" 128 "\n', 'a.cfg:5: warning: parameter `maxmem\' is not a valid number')
  expectMessages('memory=99999999999999999999\n', 'a.cfg:5: warning: parameter `memory\' ' +
    'could not be parsed as a number: Numerical result out of range')
})

test('an unknown option is named in a warning', () => {
  expectMessages('foo="bar"\nvnc=1\n', 'a.cfg:5: warning: unknown parameter `foo\' is ignored',
    'a.cfg:6: warning: parameter `vnc\' is for HVM domains and has no effect')
})

test('a domain has a name', () => {
  expectFailure('type="pvh"\nkernel="/k"\n', 'Domain name must be specified.')
  expectFailure('', 'Domain name must be specified.')
  expectFailure('name=["a"]\n',
    'a.cfg:1: warning: parameter `name\' is a list but should be a single value',
    'Domain name must be specified.')
})

test('types and builders are checked, and must agree', () => {
  expectFailure('name="a"\ntype="xyz"\n', 'Invalid domain type xyz.')
  expectFailure('name="a"\nbuilder="linux"\n', 'Invalid domain type linux.')
  expectFailure('name="a"\nbuilder="hvm"\ntype="pvh"\n',
    'Contradicting "builder" and "type" options specified.')
  assert.equal(load('name="a"\nbuilder="generic"\nkernel="/k"\n').config.type, 'pv')
})

test('a PVH domain needs a kernel', () => {
  expectFailure('name="a"\ntype="pvh"\n', 'Neither kernel nor bootloader specified')
})

test('actions on shutdown have xl\'s names and defaults', () => {
  const { onPoweroff, onReboot, onWatchdog, onCrash, onSoftReset } = config('')
  assert.deepEqual([onPoweroff, onReboot, onWatchdog, onCrash, onSoftReset],
    ['destroy', 'restart', 'destroy', 'destroy', 'soft-reset'])
  const actions = [
    'destroy', 'restart', 'rename-restart', 'preserve', 'coredump-destroy', 'coredump-restart',
    'soft-reset',
  ]
  for (const action of actions) assert.equal(config(`on_crash="${action}"`).onCrash, action)
  expectFailure(`${BASE}on_crash="explode"\non_reboot="xx"\n`,
    'Unknown on_reboot action "xx" specified')
  expectFailure(`${BASE}on_poweroff=""\n`, 'Unknown on_poweroff action "" specified')
})

test('a UUID has its dashes', () => {
  const uuid = '1AB1B111-2222-3333-4444-555555555555'
  assert.equal(config(`uuid="${uuid}"`).uuid, uuid.toLowerCase())
  expectFailure(`${BASE}uuid="zzz"`, 'Failed to parse UUID: zzz')
})

test('vcpus and maxvcpus: one unless given, and never more than the maximum', () => {
  const counts = (text: string) => {
    const { vcpus, maxVcpus } = config(text)
    return [vcpus, maxVcpus]
  }
  assert.deepEqual(counts(''), [1, 1])
  assert.deepEqual(counts('vcpus=0'), [1, 1])
  assert.deepEqual(counts('vcpus=2'), [2, 2])
  assert.deepEqual(counts('vcpus=2\nmaxvcpus=3'), [2, 3])
  expectFailure(`${BASE}vcpus=4\nmaxvcpus=2`, 'xl: maxvcpus < vcpus')
  expectFailure(`${BASE}vcpus=129`, 'xl: 129 vcpus; a domain has at most 128')
})

test('memory is 32 MB unless given; with less of maxmem a domain has only that', () => {
  const none = load('name="a"\nkernel="/k"\n').config
  assert.deepEqual([none.memoryKib, none.maxMemoryKib], [32768, 32768])
  const less = config('maxmem=64')
  assert.deepEqual([less.memoryKib, less.maxMemoryKib], [131072, 65536])
  const spec = specOf(less, (path) => path)
  assert('memoryKib' in spec)
  assert.deepEqual([spec.memoryKib, spec.maxMemoryKib], [65536, 65536])
  assert.equal(config('memory=0').memoryKib, 0)
  expectFailure(`${BASE}memory="-5"`, 'ERROR: invalid value -5 for "memory"')
})

test('the TSC mode is a name, or a number with a warning', () => {
  expectMessages('tsc_mode="native"\n', 'got a tsc mode string: "native"')
  assert.equal(load(`${BASE}tsc_mode="native"`).config.tscMode, 2)
  assert.deepEqual([load(BASE), load(`${BASE}nomigrate=1`)].map(({ config }) =>
    config.disableMigrate), [false, true])
  const { config, messages } = load(`${BASE}cpuid="host,avx2=0,foo=1"`)
  assert.deepEqual(config.cpuFeatures, [{ word: '7.ebx', bit: 5, value: '0' }])
  assert.match(messages.join(), /unknown CPUID flag name/)
  assert.match(load(`${BASE}cpuid=["1:ecx=x"]`).messages.join(),
    /`cpuid' has no effect here as a list/)
  expectMessages('tsc_mode=2\n', 'WARNING: specifying "tsc_mode" as an integer is deprecated. ' +
    'Please use the named parameter variant. e.g. tsc_mode="native"')
  expectFailure(`${BASE}tsc_mode="bogus"`,
    'got a tsc mode string: "bogus"', 'ERROR: invalid value "bogus" for "tsc_mode"')
})

test('the command line is cmdline, or root and extra', () => {
  assert.equal(config('root="/dev/xvda"\nextra="quiet x=1"').commandLine,
    'root=/dev/xvda quiet x=1')
  assert.equal(config('cmdline="a b"').commandLine, 'a b')
  expectMessages('cmdline="a b"\nextra="c"\n',
    'Warning: ignoring root= and extra= in favour of cmdline=')
})

test('cpus= is for all VCPUs as a string, and for one each as a list', () => {
  const affinity = (text: string) => {
    const { hardAffinity, softAffinity } = config(`vcpus=3\n${text}\n`)
    return [hardAffinity, softAffinity]
  }
  assert.deepEqual(affinity('cpus="1-2,^1"\ncpus_soft="node:0"'),
    [['1-2,^1', '1-2,^1', '1-2,^1'], ['node:0', 'node:0', 'node:0']])
  assert.deepEqual(affinity('cpus=[1, "2-3"]'), [['1', '2-3'], undefined])
  assert.throws(() => affinity('cpus="foo"'), /Invalid pcpu range: foo\./)
})
