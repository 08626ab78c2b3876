/**
 * Reading the configuration that a command line names: its file, with assignments behind it.
 */
import { type DomainConfig, loadDomainConfig } from '../config/domain.ts'
import { type GlobalConfig, loadGlobalConfig, withDefaults } from '../config/global.ts'
import { ConfigError } from '../config/parser.ts'
import type { DomainSpec } from '../domain/libxl.ts'
import { specOf } from '../domain/spec.ts'
import { Exit, type World } from './world.ts'

/** The file and assignments among a command's operands; undefined when there are two files. */
export function configOperands(
  operands: readonly string[], named: string | undefined,
): { readonly file: string | undefined, readonly assignments: readonly string[] } | undefined {
  const assignments = operands.filter((operand) => operand.includes('='))
  const files = operands.filter((operand) => !operand.includes('='))
  if (named !== undefined) files.unshift(named)
  return files.length > 1 ? undefined : { file: files[0], assignments }
}

/** The file's text; Exit with `code`, the error said, when it cannot be read. */
export async function readConfigText(world: World, file: string, code: number): Promise<string> {
  try {
    return await world.readText(file)
  } catch (error) {
    world.err(`Failed to read config file: ${file}: ${(error as Error).message}\n`)
    throw new Exit(code)
  }
}

/** Reads a configuration, all warnings and errors said; Exit when it is none. */
export async function parseDomain(
  world: World, file: string, text: string, assignments: readonly string[],
): Promise<DomainConfig> {
  const global = await readGlobalConfig(world)
  return withDefaults(parsed(world, () => loadDomainConfig(file, text, assignments)), global)
}

/** Reads xl.conf, in the same way. */
export async function readGlobalConfig(world: World): Promise<GlobalConfig> {
  const { path, text } = await world.globalConfig().catch((error: Error) => {
    world.err(`${error.message}\n`)
    throw new Exit(1)
  })
  return parsed(world, () => loadGlobalConfig(path, text))
}

function parsed<T>(
  world: World, parse: () => { readonly config: T, readonly messages: readonly string[] },
): T {
  try {
    const { config, messages } = parse()
    for (const line of messages) world.err(`${line}\n`)
    return config
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const line of error.lines) world.err(`${line}\n`)
    throw new Exit(1)
  }
}

/** What the domain is to be made from; Exit, with the reason said, when it cannot be made. */
export function specFor(world: World, file: string, config: DomainConfig): DomainSpec {
  const spec = specOf(config, (path) => world.absolutePath(path))
  if (!('refusal' in spec)) return spec
  world.err(`xl: ${file}: ${spec.refusal}\n`)
  throw new Exit(1)
}
