/**
 * XS_CONTROL: what xenstore-control asks, in the words of xenstored 4.17.
 *
 * Commands are xenstored's that mean something here: check, print, quota, help. There is no log of
 * requests, no live update and no report of memory.
 */
import { XENSTORE_ABS_PATH_MAX } from '../abi/xen/io/xs_wire.ts'
import type { Quota } from './operations.ts'
import type { Reply } from './requests.ts'
import type { Xenstored } from './xenstored.ts'
import { bytesOf } from './wire.ts'

interface Command {
  readonly parameters: string
  run(store: Xenstored, words: readonly string[]): Reply
}

const OK = bytesOf('OK\0')

/** Quotas by xenstored's names; the key of those that can be set. */
const quotas: readonly (readonly [name: string, key: keyof Quota | undefined, what: string])[] = [
  ['nodes', 'nodes', 'Nodes per domain'],
  ['watches', 'watches', 'Watches per domain'],
  ['transactions', 'transactions', 'Transactions per domain'],
  ['transaction-nodes', 'transactionNodes', 'Max. number of accessed nodes per transaction'],
  ['node-size', 'entrySize', 'Max. size of a node'],
  ['path-max', undefined, 'Max. length of a node path'],
  ['permissions', 'permissions', 'Max. number of permissions per node'],
]

function check(store: Xenstored, words: readonly string[]): Reply {
  if (words.length > 0) return 'EINVAL'
  const found = store.tree.inconsistencies()
  return found.length === 0 ? OK : bytesOf(`${found.slice(0, 20).join('\n')}\0`)
}

function print(store: Xenstored, [text, ...more]: readonly string[]): Reply {
  if (text === undefined || more.length > 0) return 'EINVAL'
  store.log.info(`control: ${text}`)
  return OK
}

/** Settings, a domain's use of them, or a change: quota, quota|1, quota|set|nodes|2000. */
function quota(store: Xenstored, words: readonly string[]): Reply {
  if (words.length === 0) {
    const lines = quotas.map(([name, key, what]) => {
      const value = key ? store.quota[key] : XENSTORE_ABS_PATH_MAX
      return `${name.padEnd(17)}: ${`${value}`.padStart(8)} ${what}\n`
    })
    return bytesOf(`Quota settings:\n${lines.join('')}\0`)
  }
  const [first = '', name, text] = words
  if (first === 'set' && words.length === 3) return setQuota(store, name ?? '', text ?? '')
  if (words.length !== 1 || !/^\d{1,5}$/.test(first)) return 'EINVAL'
  return useOf(store, Number(first))
}

function useOf(store: Xenstored, domid: number): Reply {
  if (!store.isIntroduced(domid)) return 'ENOENT'
  const connection = store.connectionOf(domid)
  const use: [string, number][] = [
    ['nodes', store.tree.ownedBy(domid)], ['watches', connection?.watches.size ?? 0],
    ['transactions', connection?.transactions.size ?? 0],
  ]
  const lines = use.map(([name, count]) => `${name.padEnd(16)}: ${`${count}`.padStart(8)}\n`)
  return bytesOf(`Domain ${domid}:\n${lines.join('')}\0`)
}

function setQuota(store: Xenstored, name: string, text: string): Reply {
  const key = quotas.find(([known]) => known === name)?.[1]
  if (!key || !/^\d{1,8}$/.test(text) || Number(text) === 0) return 'EINVAL'
  store.quota = { ...store.quota, [key]: Number(text) }
  return OK
}

const commands: ReadonlyMap<string, Command> = new Map([
  ['check', { parameters: '', run: check }],
  ['print', { parameters: '<string>', run: print }],
  ['quota', { parameters: '[set <name> <val>|<domid>]', run: quota }],
  ['help', { parameters: '', run: help }],
])

function help(_store: Xenstored, words: readonly string[]): Reply {
  if (words.length > 0) return 'EINVAL'
  return bytesOf(
    [...commands].map(([name, { parameters }]) => `${name}\t${parameters}\n`).join('') + '\0')
}

/** Answers a command with its parameters. */
export function control(store: Xenstored, [name = '', ...words]: readonly string[]): Reply {
  return commands.get(name)?.run(store, words) ?? 'EINVAL'
}
