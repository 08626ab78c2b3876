/**
 * Requests cut into runs of clusters that lie together.
 */
import type { Mapping } from './format.ts'

/** A part of a request: clusters of one kind, whose data follow one another. */
export interface Run {
  readonly mapping: Mapping
  /** Position in the disk. */
  readonly at: number
  lengthBytes: number
  /** Position in the file, of uncompressed data. */
  readonly host: number
}

/** The runs of a request; `mappings` are those of its clusters. */
export function runsOf(
  mappings: readonly Mapping[], at: number, lengthBytes: number, clusterBytes: number,
): Run[] {
  const runs: Run[] = []
  let from = at
  for (const mapping of mappings) {
    const within = from % clusterBytes
    const length = Math.min(clusterBytes - within, at + lengthBytes - from)
    const host = mapping.kind === 'data' ? mapping.host + within : 0
    const last = runs.at(-1)
    if (last && continues(last, mapping, host)) last.lengthBytes += length
    else runs.push({ mapping, at: from, lengthBytes: length, host })
    from += length
  }
  return runs
}

function continues(run: Run, mapping: Mapping, host: number): boolean {
  if (run.mapping.kind !== mapping.kind || mapping.kind === 'compressed') return false
  if (run.mapping.kind === 'data' && mapping.kind === 'data') {
    return run.host + run.lengthBytes === host && run.mapping.copied === mapping.copied
  }
  return true
}
