/**
 * The file system on a volume, whichever it is.
 */
import { openExt } from './ext.ts'
import { openFat } from './fat.ts'
import type { FileSystem } from './file-system.ts'
import { openIso9660 } from './iso9660.ts'
import type { Volume } from './volume.ts'

/** Undefined where there is none that is known. FAT comes last: its marks are the weakest. */
export async function openFileSystem(volume: Volume): Promise<FileSystem | undefined> {
  return await openExt(volume) ?? await openIso9660(volume) ?? await openFat(volume)
}
