/**
 * What a core remembers of the vcpus that ran on it: how fast they are, and until when it was true
 * what its processor has translated of their memory.
 *
 * That is kept under a number of the vcpu, and still true if it ran nowhere else since: on another
 * core its guest may have changed page tables, and flushed only there. What the domain's p2m has
 * lost meanwhile is told by its generation, as while the vcpu runs.
 */
import { assert } from '../base/assert.ts'
import { OWNERS } from '../cpu/mmu/spaces.ts'
import { VcpuState } from '../hypervisor/domain/state.ts'
import type { Vcpu } from '../hypervisor/domain/vcpu.ts'
import type { RunBudget } from './budget.ts'

/** No two vcpus begin in one unit of so many bytes. */
const UNIT_SHIFT = 12
assert(VcpuState.size >= 1 << UNIT_SHIFT, 'vcpus have numbers of their own')

export class Resident {
  readonly budget: RunBudget
  /** Of the vcpu, for the processor. */
  readonly owner: number
  /** Of its struct, when it was here last; 0: never. */
  serial = 0
  /** DomainState.p2mGeneration when translations were last found to be true. */
  p2mGeneration = 0

  constructor(vcpu: Vcpu, budget: RunBudget) {
    this.budget = budget
    this.owner = vcpu.address >>> UNIT_SHIFT
    assert(this.owner < OWNERS, 'all vcpus have numbers')
  }
}

export class Residents {
  readonly #known = new WeakMap<Vcpu, Resident>()
  readonly #makeBudget: () => RunBudget

  constructor(makeBudget: () => RunBudget) {
    this.#makeBudget = makeBudget
  }

  of(vcpu: Vcpu): Resident {
    const known = this.#known.get(vcpu)
    if (known) return known
    const resident = new Resident(vcpu, this.#makeBudget())
    this.#known.set(vcpu, resident)
    return resident
  }
}
