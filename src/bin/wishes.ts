/**
 * What the environment wishes of a machine.
 */
import { availableParallelism } from 'node:os'
import { type CompilingOptions, FEATURES, type Without } from '../cpu/jit/features.ts'
import { MAX_NODES, type NodeWish } from '../hypervisor/host/nodes.ts'
import { MAX_CORES } from '../hypervisor/host/state.ts'
import { cpusIn } from '../toolstack/config/cpu-range.ts'
import type { DeterministicOptions } from './deterministic.ts'

/** The most that one machine memory can be, and what a machine has unless told otherwise. */
export const MOST_MIB = 4096
const LEAST_MIB = 64
const FRAMES_A_MIB = 256
/** Of a node: Xen's own tables must fit into any. */
const LEAST_NODE_MIB = 16
const MOST_HEAT = 65_534
const LOCAL_DISTANCE = 10
const FARTHEST = 254

type Environment = Readonly<Record<string, string | undefined>>

/** The machine's size in MiB, by the environment's wish. Throws what is wrong with it. */
export function memoryWish(environment: Environment): number {
  return machineSize('XENOLITH_MEMORY', environment['XENOLITH_MEMORY'] ?? `${MOST_MIB}`)
}

/** A machine's size in MiB from what was said for `name`. Throws what is wrong with it. */
export function machineSize(name: string, text: string): number {
  const mib = Number(text)
  if (/^\d+$/.test(text) && mib >= LEAST_MIB && mib <= MOST_MIB) return mib
  throw new Error(`${name} is ${text}; a machine has ${LEAST_MIB} to ${MOST_MIB} MiB`)
}

/** How many MiB there is room for where `memoryMib` are from the start, by the environment's wish.
 * Throws what is wrong with it. */
export function mostMemoryWish(environment: Environment, memoryMib: number): number {
  const text = environment['XENOLITH_MEMORY_MAX']
  if (text === undefined) return memoryMib
  const wish = Number(text)
  if (/^\d+$/.test(text) && wish >= memoryMib && wish <= MOST_MIB) return wish
  throw new Error(`XENOLITH_MEMORY_MAX is ${text}; a machine with ${memoryMib} MiB has room for ` +
    `${memoryMib} to ${MOST_MIB}`)
}

/** The number of physical CPUs, by the environment's wish. Throws what is wrong with it. */
export function coresWish(environment: Environment): number {
  const text = environment['XENOLITH_CORES']
  const isDeterministic = seedWish(environment) !== undefined
  if (text !== undefined) return coreCount('XENOLITH_CORES', text, isDeterministic)
  return isDeterministic ? 1 : Math.min(availableParallelism(), MAX_CORES)
}

/** A number of physical CPUs from what was said for `name`. Throws what is wrong with it. */
export function coreCount(name: string, text: string, isDeterministic: boolean): number {
  const wish = Number(text)
  if (wish > 1 && isDeterministic) {
    throw new Error(`${name} is ${text}; a deterministic machine has one core`)
  }
  if (/^\d+$/.test(text) && wish >= 1 && wish <= MAX_CORES) return wish
  throw new Error(`${name} is ${text}; a machine has 1 to ${MAX_CORES} cores`)
}

/** What the environment wishes of compiling. Throws what is wrong with it. */
export function compilingWish(environment: Environment): CompilingOptions {
  const heat = environment['XENOLITH_JIT'] ?? ''
  const without = withoutWish(environment['XENOLITH_JIT_WITHOUT'] ?? '')
  return heat === '' ? { without } : { heatLimit: heatWish(heat), without }
}

/** How often code is jumped to before it is compiled: a number, or `off` to interpret only. */
function heatWish(text: string): number {
  if (text === 'off') return 0
  const wish = Number(text)
  if (/^\d+$/.test(text) && wish > 0 && wish <= MOST_HEAT) return wish
  throw new Error(`XENOLITH_JIT is ${text}; it is "off", or a number from 1 to ${MOST_HEAT}`)
}

/** What compiling shall leave out: names with commas between. */
function withoutWish(text: string): Without {
  return text.split(',').filter((word) => word !== '').map((word) =>
    FEATURES.find((feature) => feature === word) ?? unknownFeature(word))
}

function unknownFeature(word: string): never {
  throw new Error(`XENOLITH_JIT_WITHOUT names ${word}; it may name ${FEATURES.join(', ')}`)
}

/** Whether the machine shall be deterministic, by the environment's wish: its seed. */
export function seedWish(
  environment: Environment,
): DeterministicOptions | undefined {
  const seed = environment['XENOLITH_DETERMINISTIC'] ?? ''
  return seed === '' ? undefined : { seed }
}

/**
 * NUMA nodes, by the environment's wish: `size=3072 cpus=0-2 distances=10,21; size=1024 ...`, sizes
 * in MiB. Undefined if it has none; throws what is wrong with it.
 */
export function nodesWish(
  environment: Environment, memoryMib: number, cores: number,
): NodeWish[] | undefined {
  const text = environment['XENOLITH_NODES']
  if (text === undefined) return undefined
  const fail = (why: string): never => {
    throw new Error(`XENOLITH_NODES is ${text}; ${why}`)
  }
  const parts = text.split(';')
  if (parts.length > MAX_NODES) fail(`a machine has at most ${MAX_NODES} nodes`)
  const nodes = parts.map((part, node) => nodeOf(part, node, parts.length, cores, fail))
  const size = nodes.reduce((sum, { frames }) => sum + frames, 0) / FRAMES_A_MIB
  if (size !== memoryMib) fail(`nodes have ${size} MiB together, the machine ${memoryMib}`)
  for (let core = 0; core < cores; core++) {
    if (nodes.filter((node) => node.cores.includes(core)).length !== 1) {
      fail(`CPU ${core} must be in one node`)
    }
  }
  return nodes
}

function nodeOf(
  text: string, node: number, count: number, cores: number, fail: (why: string) => never,
): NodeWish {
  const settings = new Map<string, string>()
  for (const word of text.trim().split(/\s+/)) {
    const [, key = '', value = ''] = /^(size|cpus|distances)=(.+)$/.exec(word)
      ?? fail(`"${word}" is none of size=, cpus= and distances=`)
    settings.set(key, value)
  }
  const mib = Number(settings.get('size'))
  if (!Number.isInteger(mib) || mib < LEAST_NODE_MIB) {
    fail(`node ${node} has size=MIB, ${LEAST_NODE_MIB} or more`)
  }
  const range = settings.get('cpus')
  const cpus = range === undefined ? [] : cpusIn(range, new Array<number>(cores).fill(0))
    ?? fail(`"${range}" is no range of CPUs`)
  const distances = settings.get('distances')?.split(',').map(Number)
    ?? Array.from({ length: count }, (_, to) => to === node ? LOCAL_DISTANCE : 2 * LOCAL_DISTANCE)
  const isDistance = (distance: number, to: number): boolean => to === node
    ? distance === LOCAL_DISTANCE
    : Number.isInteger(distance) && distance > LOCAL_DISTANCE && distance <= FARTHEST
  if (distances.length !== count || !distances.every(isDistance)) {
    fail(`node ${node} has ${count} distances: ${LOCAL_DISTANCE} to itself, more to others`)
  }
  return { frames: mib * FRAMES_A_MIB, cores: cpus, distances }
}
