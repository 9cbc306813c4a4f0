/** Brings an element of the page into view, out of what is folded, with the keyboard on it. */
export function reveal(id: string): void {
  const element = document.getElementById(id);
  for (let around = element?.closest('details'); around; around = around.parentElement?.closest('details')) {
    around.open = true;
  }
  element?.scrollIntoView({ block: element.localName === 'section' ? 'start' : 'center' });
  element?.focus({ preventScroll: true });
}
