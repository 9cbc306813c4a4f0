/** Small settings that survive a reload. A browser that refuses storage only forgets them. */

type Where = () => Storage; // to name it is refused, too

const everywhere: Where = () => localStorage;
const inTab: Where = () => sessionStorage;

export function loadSetting<T>(key: string, fallback: T, isValid: (value: unknown) => value is T): T {
  return parse(read(everywhere, key), fallback, isValid);
}

export function saveSetting(key: string, value: unknown): void {
  write(everywhere, key, JSON.stringify(value));
}

/**
 * A setting of what this tab has open: after a reload it is what it was here, whatever other tabs have set. A new tab
 * begins with what the last one had, the one that came or set it last.
 */
export function loadTabSetting<T>(key: string, fallback: T, isValid: (value: unknown) => value is T): T {
  const own = read(inTab, key);
  const text = own ?? read(everywhere, key) ?? 'null';
  write(own === null ? inTab : everywhere, key, text);
  return parse(text, fallback, isValid);
}

export function saveTabSetting(key: string, value: unknown): void {
  saveSetting(key, value);
  write(inTab, key, JSON.stringify(value));
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

function read(where: Where, key: string): string | null {
  try {
    return where().getItem(`graft.${key}`);
  } catch {
    return null;
  }
}

function write(where: Where, key: string, text: string): void {
  try {
    where().setItem(`graft.${key}`, text);
  } catch {
    // Private windows may refuse; nothing is lost but the setting.
  }
}

function parse<T>(text: string | null, fallback: T, isValid: (value: unknown) => value is T): T {
  try {
    const value: unknown = JSON.parse(text ?? 'null');
    return isValid(value) ? value : fallback;
  } catch {
    return fallback;
  }
}
