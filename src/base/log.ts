/**
 * Where messages for the operator go: injected, and silent by default.
 */
export interface Log {
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

export const silentLog: Log = {
  info() {},
  warn() {},
  error() {},
}
