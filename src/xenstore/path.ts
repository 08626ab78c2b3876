/**
 * Names of xenstore nodes: what is legal, what is whose parent.
 *
 * Obeys docs/misc/xenstore.txt: letters, digits and -/_@, no empty segment, no trailing slash;
 * names beginning with @ are special and exist only for watches.
 */
import { XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX } from '../abi/xen/io/xs_wire.ts'

const LEGAL = /^[-/_@A-Za-z0-9]+$/
const SPECIAL = /^@[-/_@A-Za-z0-9]*$/

/** The home of a domain, to which its relative paths refer. */
export function domainPath(domid: number): string {
  return `/local/domain/${domid}`
}

/** Whether `path` names something only watches know, such as @releaseDomain. */
export function isSpecial(path: string): boolean {
  return path.startsWith('@')
}

/** The absolute form of what a client of `domid` wrote; a refusal when it is no name. */
export function absolutePath(path: string, domid: number): string | undefined {
  if (!LEGAL.test(path)) return undefined
  if (path.startsWith('/')) {
    // xenstored counts the NUL, and what comes after a domain's home as a relative path.
    if (path.length >= XENSTORE_ABS_PATH_MAX) return undefined
    const home = /^\/local\/domain\/\d+\//.exec(path)?.[0].length ?? 0
    if (path.length - home > XENSTORE_REL_PATH_MAX) return undefined
    if (path !== '/' && path.endsWith('/')) return undefined
    return path.includes('//') ? undefined : path
  }
  if (isSpecial(path)) return undefined
  if (path.length > XENSTORE_REL_PATH_MAX) return undefined
  if (path.endsWith('/') || path.includes('//')) return undefined
  return `${domainPath(domid)}/${path}`
}

/** What a watch may name: a node, or a special name as it stands. */
export function watchPath(path: string, domid: number): string | undefined {
  return SPECIAL.test(path) ? path : absolutePath(path, domid)
}

/** The parent of an absolute path; the root is its own. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash <= 0 ? '/' : path.slice(0, slash)
}

/** The last segment of an absolute path. */
export function leafOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** The path of `name` below `parent`. */
export function childOf(parent: string, name: string): string {
  return parent === '/' ? `/${name}` : `${parent}/${name}`
}
