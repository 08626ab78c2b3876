/**
 * Who may read and write a node.
 *
 * Obeys docs/misc/xenstore.txt: a list of domain and access; the first entry names the owner, and
 * its access is what every domain not listed gets. The owner and the privileged may do everything.
 */

export const NONE = 0
export const READ = 1
export const WRITE = 2
export type Access = 0 | 1 | 2 | 3

export interface Permission {
  readonly domid: number
  readonly access: Access
}

/** Never empty: the first entry is the owner's. */
export type Permissions = readonly [Permission, ...Permission[]]

/** Whom a request comes from, as far as permissions go. */
export interface Subject {
  readonly domid: number
  readonly privileged: boolean
  /** The domain this one serves as device model; it has that domain's rights too. */
  readonly target: number | undefined
}

const LETTERS = 'nrwb'
const DOMID_LIMIT = 0x7ff0

/** "r5" and the like; undefined for anything else. */
function parsePermission(text: string): Permission | undefined {
  const match = /^([nrwb])(\d{1,5})$/.exec(text)
  if (!match) return undefined
  const domid = Number(match[2])
  if (domid >= DOMID_LIMIT) return undefined
  return { domid, access: LETTERS.indexOf(match[1] ?? 'n') as Access }
}

/** The protocol's text for one entry. */
export function formatPermission(permission: Permission): string {
  return `${LETTERS[permission.access]}${permission.domid}`
}

/** Parses a whole list; undefined when it is empty or any entry is malformed. */
export function parsePermissions(texts: readonly string[]): Permissions | undefined {
  const parsed: Permission[] = []
  for (const text of texts) {
    const permission = parsePermission(text)
    if (!permission) return undefined
    parsed.push(permission)
  }
  const [owner, ...others] = parsed
  return owner ? [owner, ...others] : undefined
}

/** Whether `subject` has the rights of the owner. */
export function owns(subject: Subject, permissions: Permissions): boolean {
  const owner = permissions[0].domid
  return subject.privileged || owner === subject.domid || owner === subject.target
}

/** Whether `permissions` give `subject` all of `wanted`. */
export function allows(permissions: Permissions, subject: Subject, wanted: Access): boolean {
  if (owns(subject, permissions)) return true
  for (let i = 1; i < permissions.length; i++) {
    const entry = permissions[i]
    if (entry && (entry.domid === subject.domid || entry.domid === subject.target)) {
      return (entry.access & wanted) === wanted
    }
  }
  return (permissions[0].access & wanted) === wanted
}
