/** What a session's views stand on, and what each of them brings into its plan. */
import { hasAdapter, withoutAdapter, type AdapterSpec } from '../../core/adapter';
import type { LeafBuffer } from '../compile/layout';
import type { Graph } from '../graph/graph';
import type { ModelOptions } from '../model/leaves';
import type { RotaryLeaves } from '../model/rotary-leaves';
import type { Memory } from '../runtime/memory';

/** What a view adds to its session. */
export interface ViewPlan {
  /** By names that no other view uses. */
  readonly graphs: ReadonlyMap<string, Graph>;
  /** Buffers that hold several leaves. */
  readonly buffers: readonly LeafBuffer[];
  /** What the view reads back at once, in bytes. */
  readonly readbackBytes: number;
}

/** That of a view of batches. */
export interface BatchViewPlan extends ViewPlan {
  /** Names of the leaves that its programs read. Others of the session may be too small for its batches. */
  readonly reads: ReadonlySet<string>;
}

export function leavesRead(graphs: ReadonlyMap<string, Graph>): Set<string> {
  const inputs = [...graphs.values()].flatMap((graph) => graph.liveNodes().flatMap((node) => node.inputs));
  return new Set(inputs.flatMap(({ leaf }) => leaf?.name ?? []));
}

/** The model on the device, as views work on it. */
export interface SessionCore {
  readonly model: ModelOptions;
  readonly memory: Memory;
  readonly rotary: RotaryLeaves;
  /** Grows with every change of what is trained, so that what was computed before can be told. */
  readonly trained: { version: number };
  /**
   * Runs `work` when nothing else of the session does: from what it writes to what it reads, no other view may come in
   * between, as they share leaves and slots.
   */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
  /**
   * Runs a step, or other work that adds up losses or gradients, when none of it is under way: it shares the leaves of its
   * sums. Views whose work adds up nothing come in between its pieces, each of which is run `exclusively`.
   */
  accumulating<T>(work: () => Promise<T>): Promise<T>;
}

/** With and without the adapter, where there is one. */
export function adapterChoices(model: AdapterSpec): readonly boolean[] {
  return hasAdapter(model) ? [true, false] : [false];
}

/** The model that answers with or without the adapter. */
export function modelFor<T extends AdapterSpec>(model: T, useAdapter: boolean): T {
  return useAdapter ? model : withoutAdapter(model);
}
