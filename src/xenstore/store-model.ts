/**
 * A model of the store for tests: one flat map of nodes, copied whole for a transaction. It knows
 * nothing of quotas, malformed requests or order.
 */
export interface Step {
  readonly verb: 'read' | 'ls' | 'perms' | 'write' | 'mkdir' | 'rm' | 'chmod'
  readonly path: string
  /** The value, or permissions with | between them. */
  readonly argument: string
}

/** Paths that changed; true for those of which only watches on that very path hear. */
export type Changed = Map<string, boolean>

export interface Outcome {
  readonly answer: string
  readonly changed: Changed
}

interface Node {
  readonly value: string
  readonly permissions: string
}

export function isAtOrBelow(path: string, above: string): boolean {
  return path === above || above === '/' || path.startsWith(`${above}/`)
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}

const GIVES: Record<string, string> = { n: '', r: 'r', w: 'w', b: 'rw' }

function allowed(node: Node, domid: number, right: 'r' | 'w'): boolean {
  const [owner = '', ...others] = node.permissions.split('|')
  if (domid === 0 || owner.slice(1) === `${domid}`) return true
  const own = others.find((entry) => entry.slice(1) === `${domid}`) ?? owner
  return (GIVES[own[0] ?? 'n'] ?? '').includes(right)
}

function outcome(answer: string, changed: Changed = new Map()): Outcome {
  return { answer, changed }
}

export class Model {
  #nodes = new Map<string, Node>([['/', { value: '', permissions: 'n0' }]])

  copy(): Model {
    const copy = new Model()
    copy.#nodes = new Map(this.#nodes)
    return copy
  }

  has(path: string): boolean {
    return this.#nodes.has(path)
  }

  perform(domid: number, step: Step): Outcome {
    const { verb, path, argument } = step
    switch (verb) {
      case 'read': return this.#look(domid, path, (node) => node.value)
      case 'perms': return this.#look(domid, path, (node) => node.permissions)
      case 'ls': return this.#look(domid, path, () => [...this.#nodes.keys()]
        .filter((name) => name !== '/' && parent(name) === path)
        .map((name) => name.slice(name.lastIndexOf('/') + 1)).sort().join('|'))
      case 'write': return this.#put(domid, path, argument)
      case 'mkdir': return this.#put(domid, path)
      case 'rm': return this.#remove(domid, path)
      case 'chmod': return this.#chmod(domid, path, argument)
    }
  }

  #nearest(path: string): Node {
    return this.#nodes.get(path) ?? this.#nearest(parent(path))
  }

  #look(domid: number, path: string, answer: (node: Node) => string): Outcome {
    if (!allowed(this.#nearest(path), domid, 'r')) return outcome('!EACCES')
    const node = this.#nodes.get(path)
    return outcome(node ? answer(node) : '!ENOENT')
  }

  #put(domid: number, path: string, value?: string): Outcome {
    const nearest = this.#nearest(path)
    if (!allowed(nearest, domid, 'w')) return outcome('!EACCES')
    const node = this.#nodes.get(path)
    if (node && value === undefined) return outcome('OK')
    const inherited = domid === 0 ? nearest.permissions
      : nearest.permissions.replace(/^(.)\d+/, `$1${domid}`)
    for (let at = path; !this.#nodes.has(at); at = parent(at)) {
      this.#nodes.set(at, { value: '', permissions: inherited })
    }
    const { permissions } = node ?? { permissions: inherited }
    this.#nodes.set(path, { value: value ?? '', permissions })
    return outcome('OK', new Map([[path, false]]))
  }

  #remove(domid: number, path: string): Outcome {
    if (!allowed(this.#nearest(path), domid, 'w')) return outcome('!EACCES')
    if (!this.#nodes.has(path)) return outcome(this.#nodes.has(parent(path)) ? 'OK' : '!ENOENT')
    const gone = [...this.#nodes.keys()].filter((name) => isAtOrBelow(name, path))
    for (const name of gone) this.#nodes.delete(name)
    return outcome('OK', new Map(gone.map((name) => [name, name !== path])))
  }

  #chmod(domid: number, path: string, permissions: string): Outcome {
    const node = this.#nodes.get(path)
    if (!node) return this.#look(domid, path, () => '')
    const owner = node.permissions.split('|')[0]?.slice(1)
    if (domid !== 0 && owner !== `${domid}`) return outcome('!EACCES')
    if (domid !== 0 && permissions.split('|')[0]?.slice(1) !== owner) return outcome('!EPERM')
    this.#nodes.set(path, { value: node.value, permissions })
    return outcome('OK', new Map([[path, false]]))
  }
}
