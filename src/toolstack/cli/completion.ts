/**
 * `xl completion`: what bash and zsh need to complete xl's command lines, out of xl's own table.
 *
 * Real xl brings a file for bash. Names of domains are asked for only where a host process has its
 * socket, so that the Tab key starts none.
 */
import type { Command, Invocation } from './command.ts'

/** What completion knows of a command. */
interface Completed {
  readonly name: string
  readonly summary: string
  readonly options: readonly string[]
  /** Words that its synopsis lists, as in `<nmi|reset>`. */
  readonly words: readonly string[]
  readonly domains: boolean
  readonly files: boolean
}

const SHELLS = ['bash', 'zsh']

const DOMAINS = `_xl_domains() {
  local run=\${XENOLITH_RUN:-\${XDG_RUNTIME_DIR:-/tmp}/xenolith-$(id -u)}
  [ -S "$run/host.sock" ] && "$1" list 2>/dev/null | awk 'NR > 1 { print $1 }'
}
`

function completedOf(command: Command): Completed {
  const { name, synopsis } = command
  const alternatives = [...synopsis.matchAll(/<([\w|]+\|[\w|]+)>/g)]
    .flatMap(([, list = '']) => list.split('|'))
  return {
    name,
    summary: command.summary.split('\n')[0] ?? '',
    options: [
      ...command.options.flatMap(({ letter, name: long }) =>
        [letter && `-${letter}`, long && `--${long}`].filter((one) => one !== undefined)),
      '-h', '--help',
    ],
    words: alternatives.filter((word) => word !== 'Domain'),
    domains: /\bDomain\b/.test(synopsis),
    files: /File|file/.test(synopsis),
  }
}

/** A word for a shell, quoted. */
function quoted(text: string): string {
  return `'${text.replaceAll('\'', '\'\\\'\'')}'`
}

function bash(commands: readonly Completed[]): string {
  const names = commands.map(({ name }) => name)
  const cases = commands.map(({ name, options, words, domains, files }) =>
    `    ${name}) options=${quoted(options.join(' '))} words=${quoted(words.join(' '))} ` +
    `domains=${domains ? 'yes' : ''} files=${files ? 'yes' : ''} ;;\n`).join('')
  return `# xl's completion for bash: source it, or put it into a folder of bash-completion.
${DOMAINS}
_xl() {
  local current=\${COMP_WORDS[COMP_CWORD]} command= options= words= domains= files= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in -*) ;; *) command=\${COMP_WORDS[i]}; break ;; esac
  done
  COMPREPLY=()
  case $command in
    '') options='-v -f -N -t -T' words=${quoted([...names, 'help'].join(' '))} ;;
    help) words=${quoted(names.join(' '))} ;;
${cases}  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
    return
  fi
  [ -z "$domains" ] || words="$words $(_xl_domains "$1")"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ -z "$files" ] || COMPREPLY+=($(compgen -f -- "$current"))
}
complete -o filenames -F _xl xl ./xl
`
}

function zsh(commands: readonly Completed[]): string {
  const described = commands.map(({ name, summary }) =>
    `    ${quoted(`${name}:${summary}`)}\n`).join('')
  const cases = commands.map(({ name, options, words, domains, files }) => {
    const steps = [
      `[[ $PREFIX == -* ]] && compadd -- ${options.join(' ')}`,
      ...words.length > 0 ? [`compadd -- ${words.join(' ')}`] : [],
      ...domains ? ['compadd -- $(_xl_domains $words[1])'] : [],
      ...files ? ['_files'] : [],
    ]
    return `    ${name}) ${steps.join('; ')} ;;\n`
  }).join('')
  return `#compdef xl ./xl
# xl's completion for zsh: source it, or put it as _xl into a folder of $fpath.
${DOMAINS}
_xl() {
  local -a commands
  commands=(
${described}    'help:Show the usage of xl, or of a subcommand'
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case $words[2] in
    help) _describe command commands ;;
${cases}  esac
}
if [[ $funcstack[1] == _xl ]]; then _xl "$@"; else compdef _xl xl ./xl; fi
`
}

/** The command; `others` is the table that it completes. */
export function completionCommand(others: () => Iterable<Command>): Command {
  return {
    name: 'completion', summary: 'Print what a shell needs to complete xl\'s command lines',
    synopsis: `<${SHELLS.join('|')}>`, globals: 'vtT', options: [], needs: 1,
    run: async ({ world, operands, usage }: Invocation): Promise<number> => {
      const commands = [...others()].map(completedOf)
      if (operands[0] === 'bash') world.out(bash(commands))
      else if (operands[0] === 'zsh') world.out(zsh(commands))
      else return usage(2)
      return 0
    },
  }
}
