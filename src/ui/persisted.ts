/** Small settings that survive a reload. A browser that refuses storage only forgets them. */
export function loadSetting<T>(key: string, fallback: T, isValid: (value: unknown) => value is T): T {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(`graft.${key}`) ?? 'null');
    return isValid(value) ? value : fallback;
  } catch {
    return fallback;
  }
}

export function saveSetting(key: string, value: unknown): void {
  try {
    localStorage.setItem(`graft.${key}`, JSON.stringify(value));
  } catch {
    // Private windows may refuse; nothing is lost but the setting.
  }
}

export function removeSetting(key: string): void {
  try {
    localStorage.removeItem(`graft.${key}`);
  } catch {
    // Nothing was kept, then.
  }
}

/** Calls `listener` when another tab has changed or removed a setting. */
export function onSettingChanged(key: string, listener: () => void): void {
  window.addEventListener('storage', (event) => {
    if (event.key === null || event.key === `graft.${key}`) listener(); // null: all of them were removed
  });
}

export const isText = (value: unknown): value is string => typeof value === 'string';
export const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';
