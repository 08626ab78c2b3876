/**
 * memory_op's memory maps: the e820 that the toolstack gives a domain, and that the domain reads.
 */
import { EFAULT, EINVAL, ENOSYS, ESRCH } from '../../abi/xen/errno.ts'
import { XENMEM_memory_map, XENMEM_set_memory_map, XenForeignMemoryMap, XenMemoryMap } from
  '../../abi/xen/memory.ts'
import { E820Entry } from '../../abi/xen/xen.ts'
import { MAX_E820 } from '../domain/state.ts'
import { subop } from './operation.ts'

/** One entry on its way in or out: neither side's changes reach the other's. */
const scratch = new DataView(new ArrayBuffer(E820Entry.size))
const entry = E820Entry.on(scratch)

const memoryMap = subop(XENMEM_memory_map, XenMemoryMap, 'inout',
  function memory_map(caller, op) {
    const { state } = caller.domain
    if (state.e820Count === 0) return -ENOSYS
    op.nr_entries = Math.min(op.nr_entries, state.e820Count)
    for (let i = 0; i < op.nr_entries; i++) {
      const range = state.e820.item(i)
      entry.addr = range.addr
      entry.size = range.size
      entry.type = range.type
      const at = op.buffer + i * E820Entry.size
      if (!caller.memory.copyOut(scratch, at, E820Entry.size)) return -EFAULT
    }
    return 0
  })

const setMemoryMap = subop(XENMEM_set_memory_map, XenForeignMemoryMap, 'in',
  function set_memory_map(caller, op) {
    if (op.map.nr_entries > MAX_E820) return -EINVAL
    const domain = caller.host.domain(op.domid, caller.domain)
    if (!domain) return -ESRCH
    const refusal = caller.host.xsm.memoryMap(caller.domain, domain)
    if (refusal < 0) return refusal
    const { state } = domain
    state.e820Count = 0
    for (let i = 0; i < op.map.nr_entries; i++) {
      const at = op.map.buffer + i * E820Entry.size
      if (!caller.memory.copyIn(scratch, at, E820Entry.size)) return -EFAULT
      const range = state.e820.item(i)
      range.addr = entry.addr
      range.size = entry.size
      range.type = entry.type
    }
    state.e820Count = op.map.nr_entries
    return 0
  })

export const memoryMapOps = [memoryMap, setMemoryMap]
