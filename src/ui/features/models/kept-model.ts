/** Which model was open when the page was last left. */
import type { ModelRef } from '../../../protocol/models';
import { loadTabSetting, saveTabSetting } from '../../persisted';

export const STARTER: ModelRef = { kind: 'builtin', name: 'starter' };

const SETTING = 'model';

export function loadModelRef(): ModelRef {
  return loadTabSetting(SETTING, STARTER, isReopenable);
}

export function saveModelRef(ref: ModelRef): void {
  saveTabSetting(SETTING, ref);
}

function isReopenable(value: unknown): value is ModelRef {
  const ref = value as Partial<Record<string, unknown>> | null;
  return (
    (ref?.['kind'] === 'builtin' ||
      (ref?.['kind'] === 'kept' && typeof ref['id'] === 'string') ||
      (ref?.['kind'] === 'hub' &&
        typeof ref['revision'] === 'string' &&
        typeof ref['commit'] === 'string' &&
        ['string', 'undefined'].includes(typeof ref['endpoint']))) &&
    typeof ref['name'] === 'string'
  );
}
