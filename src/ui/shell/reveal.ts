/** What is sent from an element that is to be seen, to whatever folds it away. */
export const UNFOLD = 'graft-unfold';

/** Brings an element of the page into view, out of what is folded, with the keyboard on it. */
export function reveal(id: string): void {
  const element = document.getElementById(id);
  element?.dispatchEvent(new CustomEvent(UNFOLD, { bubbles: true }));
  for (let around = element?.closest('details'); around; around = around.parentElement?.closest('details')) {
    around.open = true;
  }
  element?.scrollIntoView({ block: element.localName === 'section' ? 'start' : 'center' });
  element?.focus({ preventScroll: true });
}
