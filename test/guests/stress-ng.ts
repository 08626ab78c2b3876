/**
 * Debian's stress-ng for guests. CI makes it while it still checks other things.
 */
import { type DebianPrograms, debianPrograms } from './debian-programs.ts'

export function stressNg(): DebianPrograms {
  return debianPrograms(['stress-ng'], ['stress-ng'])
}
