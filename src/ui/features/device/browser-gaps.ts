/** What this browser lacks of what the page can use: what that means here, and which browsers have it. */

/** The parts of a window that are looked at; whatever is undefined is missing. */
export interface Abilities {
  readonly isSecureContext: boolean;
  readonly showDirectoryPicker?: unknown;
  readonly showSaveFilePicker?: unknown;
  readonly navigator: { readonly wakeLock?: unknown; readonly serviceWorker?: unknown };
  readonly HTMLInputElement: { readonly prototype: object };
}

/** A sentence or two for each. */
export function findGaps(browser: Abilities): string[] {
  const gaps: string[] = [];
  if (!('webkitdirectory' in browser.HTMLInputElement.prototype)) {
    gaps.push("It can't open a folder: open a model's files one by one. Browsers of desktop computers open folders.");
  } else if (!browser.showDirectoryPicker) {
    gaps.push(
      'When a folder is opened, it speaks of an upload: nothing is sent. Chrome and Edge ask to view the folder instead.',
    );
  }
  if (!browser.showSaveFilePicker) {
    gaps.push(
      'A merged model needs its size on the disk twice while it is downloaded. Chrome and Edge write it straight to its file.',
    );
  }
  if (!browser.isSecureContext) return gaps; // what follows is kept from the page by its address, which is said elsewhere
  if (!browser.navigator.wakeLock) {
    gaps.push(
      'It may let the screen go dark while a run trains. Chrome and Edge, Firefox 126 and Safari 16.4 keep it on.',
    );
  }
  if (!browser.navigator.serviceWorker) {
    gaps.push(
      "It doesn't keep the page for when there is no connection. Chrome, Edge, Firefox and Safari do, some of them not in a private window.",
    );
  }
  return gaps;
}
