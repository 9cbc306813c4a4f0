import type { Memory } from '../runtime/memory';
import { rotaryLeaf, type ModelOptions } from './leaves';
import { isLong, ropeKinds, rotaryTables } from './rotary';

/** The rotary tables of a session, which differ for long sequences where the model has LongRoPE. */
export class RotaryLeaves {
  private length = 0;

  constructor(
    private readonly memory: Memory,
    private readonly model: ModelOptions,
  ) {
    this.write();
  }

  /** Makes the tables those of sequences of which the longest has that many tokens, for the programs that run next. */
  useFor(length: number): void {
    const { spec } = this.model;
    const same = isLong(spec, length) === isLong(spec, this.length);
    this.length = length;
    if (!same) this.write();
  }

  private write(): void {
    const { spec, positions } = this.model;
    for (const kind of ropeKinds(spec)) {
      const { cos, sin } = rotaryTables(spec, kind, positions, this.length);
      this.memory.write(rotaryLeaf.cos(kind), cos);
      this.memory.write(rotaryLeaf.sin(kind), sin);
    }
  }
}
