/**
 * What is wrong with a VHD, as far as it can be seen: blocks outside the file or on top of others.
 */
import type { VhdImage } from './image.ts'

const MAX_PROBLEMS = 100

/** Problems in words, and how many blocks there are. */
export function checkVhd(image: VhdImage): { problems: string[], blocks: number } {
  const problems: string[] = []
  const length = image.bitmapBytes + image.blockBytes
  const places: [number, number][] = []
  const entries = image.header?.max_table_entries ?? 0
  for (let index = 0; index < entries; index++) {
    const place = image.blockAt(index)
    if (place !== undefined) places.push([place, index])
  }
  places.sort(([a], [b]) => a - b)
  places.forEach(([place, index], i) => {
    if (problems.length >= MAX_PROBLEMS) return
    const next = places[i + 1]
    if (place + length > image.file.sizeBytes) problems.push(`block ${index} is outside the file`)
    if (next && place + length > next[0]) problems.push(`blocks ${index} and ${next[1]} overlap`)
    if (place < 512 + 1024) problems.push(`block ${index} overlaps the header`)
  })
  return { problems, blocks: places.length }
}
