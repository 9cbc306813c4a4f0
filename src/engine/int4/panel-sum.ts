/** A matrix on the device to which products of panels of rows are added: what blocked factorisations spend their time on. */
import { Graph } from '../graph/graph';
import { addProduct } from '../ops/matmul';
import type { Memory } from '../runtime/memory';
import { placePrograms } from '../runtime/place-programs';
import type { Runtime } from '../runtime/runtime';

/** Columns that are quantised, and rows that are factored, before what follows them is brought up to date. */
export const PANEL = 128;

const LEAF = { left: 'left', right: 'right', total: 'total' } as const;
const PROGRAM = 'add';

export class PanelSum {
  private constructor(
    private readonly memory: Memory,
    private readonly rows: number,
    private readonly columns: number,
  ) {}

  /** total[rows, columns], zeros where nothing else is given; `alpha` is what products are multiplied with. */
  static async create(
    runtime: Runtime,
    rows: number,
    columns: number,
    alpha: 1 | -1,
    values?: Float32Array,
  ): Promise<PanelSum> {
    const graph = new Graph();
    const leaf = (name: string, shape: readonly number[]) => graph.leaf(name, { shape, dtype: 'f32' }, 'workspace');
    const total = leaf(LEAF.total, [rows, columns]);
    addProduct(graph, leaf(LEAF.left, [PANEL, rows]), leaf(LEAF.right, [PANEL, columns]), total, alpha);
    const memory = await placePrograms(runtime, new Map([[PROGRAM, graph]]), 4 * PANEL * columns);
    if (values) memory.write(LEAF.total, values);
    return new PanelSum(memory, rows, columns);
  }

  /** total += alpha · leftᵀ · right, of at most `PANEL` rows [·, rows] and [·, columns]. */
  async add(left: Float32Array, right: Float32Array): Promise<void> {
    const { memory, rows } = this;
    if (left.length < PANEL * rows) memory.clear([LEAF.left, LEAF.right]);
    memory.write(LEAF.left, left);
    memory.write(LEAF.right, right);
    await memory.run(PROGRAM);
  }

  async readRows(first: number, count: number): Promise<Float32Array> {
    const rowBytes = 4 * this.columns;
    return new Float32Array((await this.memory.readBytes(LEAF.total, count * rowBytes, first * rowBytes)).buffer);
  }

  dispose(): void {
    this.memory.destroy();
  }
}
