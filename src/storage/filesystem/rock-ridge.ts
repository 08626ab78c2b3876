/**
 * Rock Ridge's entries in the system use area of a directory record: names, modes, symbolic links,
 * and directories that were moved because they lay too deep.
 */
import { StorageError } from '../error.ts'
import { viewOf, type Volume } from './volume.ts'

const BLOCK_BYTES = 2048
const MAX_AREAS = 32
const MAX_TEXT = 4096
const CONTINUED = 0x01
const CURRENT = 0x02
const PARENT = 0x04
const ROOT = 0x08

export interface RockRidge {
  readonly name?: string
  readonly mode?: number
  readonly link?: string
  /** Where the directory is that this entry stands for. */
  readonly childBlock?: number
  /** This directory was moved here, and has its name elsewhere. */
  readonly isMoved: boolean
}

class Reading {
  name: string | undefined
  mode: number | undefined
  childBlock: number | undefined
  isMoved = false
  readonly #link: string[] = []
  /** The last part of the link goes on in the next component. */
  #linkContinues = false
  #hasLink = false
  next: { at: number, lengthBytes: number } | undefined

  entry(signature: string, body: Uint8Array): void {
    const view = viewOf(body)
    switch (signature) {
      case 'NM':
        if (body.length >= 1 && !(body[0]! & (CURRENT | PARENT))) {
          this.name = (this.name ?? '') + text(body.subarray(1))
        }
        break
      case 'PX': if (body.length >= 4) this.mode = view.getUint32(0, true); break
      case 'SL': this.#components(body.subarray(1)); break
      case 'CL': if (body.length >= 4) this.childBlock = view.getUint32(0, true); break
      case 'RE': this.isMoved = true; break
      case 'CE':
        if (body.length >= 24) {
          this.next = {
            at: view.getUint32(0, true) * BLOCK_BYTES + view.getUint32(8, true),
            lengthBytes: view.getUint32(16, true),
          }
        }
    }
    if ((this.name?.length ?? 0) > MAX_TEXT) throw new StorageError('corrupt', 'ISO: a long name')
  }

  #components(bytes: Uint8Array): void {
    this.#hasLink = true
    for (let at = 0; at + 2 <= bytes.length; at += 2 + bytes[at + 1]!) {
      const flags = bytes[at]!
      const part = flags & CURRENT ? '.' : flags & PARENT ? '..' : flags & ROOT ? ''
        : text(bytes.subarray(at + 2, at + 2 + bytes[at + 1]!))
      if (this.#linkContinues) this.#link.push(this.#link.pop()! + part)
      else this.#link.push(part)
      this.#linkContinues = (flags & CONTINUED) !== 0
    }
  }

  result(): RockRidge {
    const link = this.#link.length === 1 && this.#link[0] === '' ? '/' : this.#link.join('/')
    return {
      isMoved: this.isMoved,
      ...this.name === undefined ? {} : { name: this.name },
      ...this.mode === undefined ? {} : { mode: this.mode },
      ...this.#hasLink ? { link } : {},
      ...this.childBlock === undefined ? {} : { childBlock: this.childBlock },
    }
  }
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** What the entries of a system use area, and of those that continue it, say. */
export async function readSystemUse(volume: Volume, area: Uint8Array): Promise<RockRidge> {
  const reading = new Reading()
  let bytes = area
  for (let areas = 0; areas < MAX_AREAS; areas++) {
    for (let at = 0; at + 4 <= bytes.length;) {
      const length = bytes[at + 2]!
      if (length < 4 || at + length > bytes.length) break
      const signature = String.fromCharCode(bytes[at]!, bytes[at + 1]!)
      if (signature === 'ST') break
      reading.entry(signature, bytes.subarray(at + 4, at + length))
      at += length
    }
    const { next } = reading
    if (!next) return reading.result()
    if (next.lengthBytes > BLOCK_BYTES) throw new StorageError('corrupt', 'ISO: a continuation')
    reading.next = undefined
    bytes = await volume.read(next.at, next.lengthBytes)
  }
  throw new StorageError('corrupt', 'ISO: continuations without end')
}
