/**
 * Random graphs, written as WebAssembly by their structure and walked: the way through the function
 * is the way through the graph.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { call, i32, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { type FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { type Structure, structureOf } from './graph.ts'

type Graph = readonly (readonly number[])[]

/** (entry number) -> nothing: asks `choose` at each node which of its edges it takes. */
class Writer {
  readonly #graph: Graph
  readonly #structure: Structure
  readonly #f: FunctionBuilder
  readonly #choose: FunctionReference
  readonly #entry: Local
  readonly #labels = new Map<string, Label>()

  constructor(module: ModuleBuilder, graph: Graph) {
    this.#graph = graph
    this.#structure = structureOf(graph)
    this.#choose = module.importFunction('env', 'choose', { parameters: ['i32'], result: 'i32' })
    this.#f = module.function({ parameters: ['i32'] })
    this.#entry = this.#f.parameters[0]!
    this.#f.block((leave) => {
      this.#labels.set('leave', leave)
      this.#node(0)
    })
    module.exportFunction('walk', this.#f)
  }

  #node(node: number): void {
    const { isLoop, dispatches, follows } = this.#structure
    if (!isLoop[node] && !(node === 0 && dispatches)) {
      this.#within(node, follows[node]!)
      return
    }
    this.#f.loop((label) => {
      this.#labels.set(`loop ${node}`, label)
      this.#within(node, follows[node]!)
    })
  }

  #within(node: number, [outermost, ...inner]: readonly number[]): void {
    if (outermost === undefined) {
      this.#body(node)
      return
    }
    this.#f.block((label) => {
      this.#labels.set(`before ${outermost}`, label)
      this.#within(node, inner)
    })
    this.#node(outermost)
  }

  #body(node: number): void {
    const to = node === 0 ? this.#structure.entries : this.#graph[node]!
    const which = node === 0 ? this.#entry : call(this.#choose, i32.const(node))
    this.#f.switch(which, to.map((next) => () => this.#edge(node, next)),
      () => this.#f.br(this.#labels.get('leave')!))
  }

  #edge(node: number, to: number): void {
    const kind = this.#structure.edge(node, to)
    if (kind === 'inline') {
      this.#node(to)
      return
    }
    const entry = this.#structure.entries.indexOf(to)
    if (kind === 'dispatch') this.#f.set(this.#entry, i32.const(entry))
    const label = kind === 'forward' ? `before ${to}` : `loop ${kind === 'back' ? to : 0}`
    this.#f.br(this.#labels.get(label)!)
  }
}

/** Entries, then the edges of each node; many nodes have few edges. */
const graphs = fc.integer({ min: 1, max: 14 }).chain((nodes) => {
  const node = fc.integer({ min: 1, max: nodes })
  return fc.tuple(
    fc.uniqueArray(node, { minLength: 1, maxLength: 3 }),
    fc.array(fc.array(node, { maxLength: 3 }), { minLength: nodes, maxLength: nodes }),
  ).map(([entries, edges]): Graph => [entries, ...edges])
})

test('a function written by a structure goes the ways of the graph, and no other', () => {
  fc.assert(fc.property(graphs, fc.array(fc.nat(2), { minLength: 60, maxLength: 60 }),
    (graph, choices) => {
      const module = new ModuleBuilder()
      new Writer(module, graph)
      let steps = 0
      const choose = (): number => choices[steps++] ?? -1
      const walked: number[] = []
      const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
        env: { choose: (node: number) => (walked.push(node), choose()) },
      })
      const walk = instance.exports['walk'] as (entry: number) => void
      graph[0]!.forEach((entry, number) => {
        steps = 0
        walked.length = 0
        walk(number)
        steps = 0
        const expected: number[] = []
        for (let node: number | undefined = entry; node !== undefined;) {
          expected.push(node)
          node = graph[node]![choose()]
        }
        assert.deepEqual(walked, expected)
      })
    }), { numRuns: 400 })
})

test('without a way into the middle of a loop, nothing goes through the root again', () => {
  assert.equal(structureOf([[1], [2], [3, 1], [2, 4], []]).dispatches, false)
})

test('a loop with two ways in goes through the root', () => {
  const structure = structureOf([[1], [2, 3], [3], [2]])
  assert.equal(structure.dispatches, true)
  assert.equal(structure.edge(3, 2), 'dispatch')
})
