/**
 * Documents against the tree: links, paths, npm scripts, excerpts of code, and the code maps.
 *
 * - a relative link leads to a file, and its fragment to a heading of it;
 * - a path in backquotes that begins with a folder of the tree exists;
 * - `npm run NAME` names a script of package.json;
 * - a fenced block whose info string names a file (```ts src/isa/pure.ts) is text of that file;
 *   a line `// …` in it stands for anything;
 * - the first columns of the code maps in README.md and ARCHITECTURE.md are the folders there are.
 */
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

const FOLDERS = '(?:src|test|tools|fuzz|bench|docs)'
const LINK = /\[[^\]]*\]\(([^)\s]+)\)/g
const PATH = new RegExp(`\`(${FOLDERS}/[\\w./*-]*)\``, 'g')
const SCRIPT = /\bnpm run ([\w:-]+)/g
const FENCE = /^```(\w*)(?: (\S+))?\n([\s\S]*?)^```$/gm
const ELLIPSIS = /^\s*\/\/ …$/m
/** Beside the sources, but not of them. */
const NOT_MAPPED = new Set(['node_modules'])

interface Document {
  readonly path: string
  readonly text: string
  /** The text without its fenced blocks. */
  readonly prose: string
}

function readDocument(path: string): Document {
  const text = readFileSync(path, 'utf8')
  return { path, text, prose: text.replaceAll(FENCE, '') }
}

/** The fragment by which a heading is linked to, as GitHub makes it. */
function fragmentOf(heading: string): string {
  return heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')
}

function hasHeading(path: string, fragment: string): boolean {
  const headings = readDocument(path).prose.matchAll(/^#+ (.*)$/gm)
  return [...headings].some(([, heading]) => fragmentOf(heading!) === fragment)
}

export function linkProblems({ path, prose }: Document): string[] {
  const problems: string[] = []
  for (const [, target] of prose.matchAll(LINK)) {
    if (/^[a-z]+:/.test(target!)) continue
    const [file, fragment] = target!.split('#') as [string, string?]
    const goal = file === '' ? path : normalize(join(dirname(path), file))
    if (!existsSync(goal)) problems.push(`${path}: link to ${target}, which is not there`)
    else if (fragment && !hasHeading(goal, fragment)) {
      problems.push(`${path}: link to ${target}, but there is no such heading`)
    }
  }
  return problems
}

function pathProblems({ path, prose }: Document): string[] {
  return [...prose.matchAll(PATH)]
    .filter(([, named]) => globSync(named!).length === 0)
    .map(([, named]) => `${path}: names ${named}, which is not there`)
}

function scriptProblems({ path, text }: Document): string[] {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as
    { scripts: Record<string, string> }
  return [...text.matchAll(SCRIPT)]
    .filter(([, name]) => !(name! in scripts))
    .map(([, name]) => `${path}: npm run ${name}, but there is no such script`)
}

/** Whether the pieces of `excerpt` between ellipses stand in `source` in their order. */
export function isExcerpt(excerpt: string, source: string): boolean {
  let from = 0
  for (const piece of excerpt.split(ELLIPSIS)) {
    const wanted = piece.replace(/^\n/, '')
    const at = source.indexOf(wanted, from)
    if (at < 0) return false
    from = at + wanted.length
  }
  return true
}

function excerptProblems({ path, text }: Document): string[] {
  const problems: string[] = []
  for (const [, , file, body] of text.matchAll(FENCE)) {
    if (file === undefined) continue
    if (!existsSync(file)) problems.push(`${path}: excerpt of ${file}, which is not there`)
    else if (!isExcerpt(body!, readFileSync(file, 'utf8'))) {
      problems.push(`${path}: ${file} does not read as this excerpt: ${body!.split('\n')[0]}`)
    }
  }
  return problems
}

/** Folders of `parent` with something in them. */
function foldersOf(parent: string): string[] {
  return readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map((entry) => entry.name)
    .filter((name) => !NOT_MAPPED.has(name) && globSync(`${parent}/${name}/**/*.*`).length > 0)
    .sort()
}

/** The rows of the table under the heading "Code map": the cells of each. */
function mapOf(path: string): string[][] {
  const text = readFileSync(path, 'utf8')
  const section = text.split(/^## /m).find((part) => part.startsWith('Code map\n')) ?? ''
  return section.split('\n').filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim()))
}

function difference(what: string, named: readonly string[], there: readonly string[]): string[] {
  return [
    ...named.filter((name) => !there.includes(name)).map((name) =>
      `${what} names ${name}, which is not there`),
    ...there.filter((name) => !named.includes(name)).map((name) => `${what} does not name ${name}`),
  ]
}

/** README.md maps the top folders; ARCHITECTURE.md also those of src/, and in a third column the
 * folders in each. */
function mapProblems(): string[] {
  const nameOf = (cell: string | undefined): string => cell?.replaceAll(/[`/]/g, '') ?? ''
  const top = foldersOf('.')
  const readme = mapOf('README.md').map((cells) => nameOf(cells[1]))
  const rows = mapOf('ARCHITECTURE.md')
  const inner = rows.filter((cells) => cells[1]?.startsWith('`src/'))
  const rooms = inner.map((cells) => cells[1]!.replaceAll('`', '').split('/')[1]!)
  const problems = [
    ...difference('the code map of README.md', readme, top),
    ...difference('the code map of ARCHITECTURE.md', rooms, foldersOf('src')),
    ...difference('the code map of ARCHITECTURE.md',
      rows.filter((cells) => !inner.includes(cells)).map((cells) => nameOf(cells[1])),
      top.filter((name) => name !== 'src')),
  ]
  inner.forEach((cells, index) => {
    const named = [...(cells[3] ?? '').matchAll(/`([\w-]+)\/`/g)].map((match) => match[1]!)
    const room = rooms[index]!
    if (!existsSync(`src/${room}`)) return
    problems.push(...difference(`the row of src/${room}/ in ARCHITECTURE.md`, named,
      foldersOf(`src/${room}`)))
  })
  return problems
}

export function checkDocs(): string[] {
  const documents = [...globSync('*.md'), ...globSync('docs/**/*.md')].sort().map(readDocument)
  return [
    ...documents.flatMap((document) => [
      ...linkProblems(document), ...pathProblems(document), ...scriptProblems(document),
      ...excerptProblems(document),
    ]),
    ...mapProblems(),
  ]
}
