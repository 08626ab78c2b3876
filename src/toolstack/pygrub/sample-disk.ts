/**
 * For tests only: a disk, a FAT16 without partitions, with files in its root directory and in a
 * folder GRUB there. Names are of eight and three characters at most.
 */
const SECTOR_BYTES = 512
const CLUSTERS = 4200
const FAT_SECTORS = Math.ceil((CLUSTERS + 2) * 2 / SECTOR_BYTES)
const ROOT_ENTRIES = 16
const DATA_SECTOR = 1 + FAT_SECTORS + 1
const DIRECTORY = 0x10

export function sampleDisk(
  root: Readonly<Record<string, Uint8Array>>, grub: Readonly<Record<string, string>>,
): Uint8Array {
  const disk = new Uint8Array((DATA_SECTOR + CLUSTERS) * SECTOR_BYTES)
  const view = new DataView(disk.buffer)
  view.setUint16(11, SECTOR_BYTES, true)
  view.setUint8(13, 1)
  view.setUint16(14, 1, true)
  view.setUint8(16, 1)
  view.setUint16(17, ROOT_ENTRIES, true)
  view.setUint16(19, DATA_SECTOR + CLUSTERS, true)
  view.setUint16(22, FAT_SECTORS, true)
  view.setUint16(510, 0xaa55, true)
  let free = 2
  const placeOf = (cluster: number): number => (DATA_SECTOR + cluster - 2) * SECTOR_BYTES
  /** Puts bytes into clusters in a row; the first of them. */
  const store = (bytes: Uint8Array): number => {
    const first = free
    const count = Math.max(1, Math.ceil(bytes.length / SECTOR_BYTES))
    disk.set(bytes, placeOf(first))
    for (let i = 0; i < count; i++) {
      view.setUint16(SECTOR_BYTES + (first + i) * 2, i + 1 < count ? first + i + 1 : 0xffff, true)
    }
    free += count
    return first
  }
  const enter = (at: number, name: string, attribute: number, bytes: Uint8Array): void => {
    const [base = '', extension = ''] = name.toUpperCase().split('.')
    disk.set(new TextEncoder().encode(base.padEnd(8) + extension.padEnd(3)), at)
    disk[at + 11] = attribute
    view.setUint16(at + 26, store(bytes), true)
    view.setUint32(at + 28, attribute === DIRECTORY ? 0 : bytes.length, true)
  }
  const rootAt = (1 + FAT_SECTORS) * SECTOR_BYTES
  enter(rootAt, 'grub', DIRECTORY, new Uint8Array(SECTOR_BYTES))
  Object.entries(root).forEach(([name, bytes], index) =>
    enter(rootAt + 32 * (index + 1), name, 0, bytes))
  Object.entries(grub).forEach(([name, text], index) =>
    enter(placeOf(2) + 32 * index, name, 0, new TextEncoder().encode(text)))
  return disk
}
