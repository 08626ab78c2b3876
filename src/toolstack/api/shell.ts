/**
 * A command for a guest's shell, as lines that can be typed at any prompt.
 *
 * Whatever the command has in it, the lines have only characters that line editors, terminals and
 * shells leave alone, and none is long. The marks around its output are printed in two halves, so
 * that the terminal's echo of the lines is not taken for them. Any POSIX shell will do.
 */

/** How a command ended: its exit status, and all that it printed. */
export interface CommandResult {
  readonly status: number
  readonly output: string
}

/** Characters of a command on one line: line editors and terminals have limits. */
const PIECE = 200
/** What needs no escape between single quotes, nor in printf's %b. */
const HARMLESS = /^[A-Za-z0-9 _./:;,=+@#(){}[\]<>|&$"*?~^-]$/

/** The lines; `token` is a word that the guest does not print otherwise. */
export function commandLines(command: string, token: string): string[] {
  const text = escaped(command)
  const lines = ['_x=']
  for (let at = 0; at < text.length; at += PIECE) {
    lines.push(`_x=$_x'${text.slice(at, at + PIECE)}'`)
  }
  const halves = `${token.slice(0, 1)}''${token.slice(1)}`
  return [
    ...lines,
    `printf '<%s>\\n' ${halves}; (eval "$(printf %b "$_x")") </dev/null; ` +
    `printf '<%s %d>\\n' ${halves} $?`,
  ]
}

/** What the shell prints before the command's output and after it; then come status and `>`. */
export function marksOf(token: string): { readonly begin: string, readonly end: string } {
  return { begin: `<${token}>\n`, end: `<${token} ` }
}

/** The command as printf's %b reads it: bytes in octal where they could mean something. */
function escaped(command: string): string {
  const bytes = new TextEncoder().encode(command)
  return [...bytes].map((byte) => {
    const character = String.fromCharCode(byte)
    return HARMLESS.test(character) ? character : `\\0${byte.toString(8).padStart(3, '0')}`
  }).join('')
}
