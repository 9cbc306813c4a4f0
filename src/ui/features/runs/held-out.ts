/** How many rows to hold out of the next run: enough to tell by, and not more than the training can spare. */

export interface HeldOutProposal {
  /** As `val_set_size` takes it. */
  readonly valSetSize: number;
  readonly rows: number;
}

/** Below this each row is worth more in training than as a question. */
const FEWEST_ROWS = 10;
/** Up to here a fifth: a tenth would be too few questions to tell anything by. */
const FEW_ROWS = 50;
/** Each evaluation asks all of them: more tell little more, and take longer. */
const MOST_HELD_OUT = 200;

/** Undefined where there are too few rows to hold any out. */
export function proposeHeldOut(rows: number): HeldOutProposal | undefined {
  if (rows < FEWEST_ROWS) return undefined;
  const share = rows < FEW_ROWS ? 0.2 : 0.1;
  if (rows * share > MOST_HELD_OUT) return { valSetSize: MOST_HELD_OUT, rows: MOST_HELD_OUT };
  return { valSetSize: share, rows: countHeldOut(rows, share) };
}

/** Rows that a run holds out of `rows`, as training counts them. */
export function countHeldOut(rows: number, valSetSize: number): number {
  return valSetSize < 1 ? Math.ceil(rows * valSetSize) : valSetSize;
}
