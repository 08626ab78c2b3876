/**
 * Data within an ext inode: the first 60 bytes where block numbers would be, the rest in the
 * extended attribute `system.data` behind the inode's fields.
 */
import { StorageError } from '../error.ts'
import { viewOf } from './volume.ts'

const BLOCKS_AT = 40
const BLOCKS_BYTES = 60
const FIXED_BYTES = 128
const ATTRIBUTE_MAGIC = 0xea02_0000
const INDEX_SYSTEM = 7
const NAME = 'data'

export class InlineData {
  readonly inBlocks: Uint8Array
  readonly inAttribute: Uint8Array

  constructor(inode: Uint8Array) {
    this.inBlocks = inode.subarray(BLOCKS_AT, BLOCKS_AT + BLOCKS_BYTES)
    this.inAttribute = attributeOf(inode)
  }

  content(sizeBytes: number): Uint8Array {
    if (sizeBytes > BLOCKS_BYTES + this.inAttribute.length) {
      throw new StorageError('corrupt', 'ext: inline data is too short')
    }
    const bytes = new Uint8Array(BLOCKS_BYTES + this.inAttribute.length)
    bytes.set(this.inBlocks)
    bytes.set(this.inAttribute, BLOCKS_BYTES)
    return bytes.subarray(0, sizeBytes)
  }
}

function attributeOf(inode: Uint8Array): Uint8Array {
  const none = new Uint8Array(0)
  if (inode.length < FIXED_BYTES + 4) return none
  const view = viewOf(inode)
  const start = FIXED_BYTES + view.getUint16(FIXED_BYTES, true)
  if (start + 4 > inode.length || view.getUint32(start, true) !== ATTRIBUTE_MAGIC) return none
  const first = start + 4
  for (let at = first; at + 16 <= inode.length;) {
    const nameLength = view.getUint8(at)
    if (view.getUint32(at, true) === 0) break
    const name = String.fromCharCode(...inode.subarray(at + 16, at + 16 + nameLength))
    if (view.getUint8(at + 1) === INDEX_SYSTEM && name === NAME) {
      const from = first + view.getUint16(at + 2, true)
      return inode.subarray(from, from + view.getUint32(at + 8, true))
    }
    at += 16 + Math.ceil(nameLength / 4) * 4
  }
  return none
}
