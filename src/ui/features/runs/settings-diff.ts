/** What differs between the settings of two runs. */
import { formatValue, RUN_CONFIG_KEYS, type RunConfig, type RunConfigKey } from '../../../core/config';

export interface Difference {
  readonly key: RunConfigKey;
  /** As the run file writes them; `–` where it has no such key. */
  readonly before: string;
  readonly after: string;
}

/** In the order of the run file. */
export function diffSettings(before: RunConfig, after: RunConfig): Difference[] {
  const differences: Difference[] = [];
  for (const key of Object.keys(RUN_CONFIG_KEYS) as RunConfigKey[]) {
    const [one, other] = [write(before[key]), write(after[key])];
    if (one !== other) differences.push({ key, before: one, after: other });
  }
  return differences;
}

function write(value: RunConfig[RunConfigKey]): string {
  return value === undefined ? '–' : formatValue(value);
}
