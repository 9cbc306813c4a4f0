/** Puts the keyboard on the heading of what is shown: the page's, or that of a part of it which was opened. */
export function focusHeading(of: 'page' | 'part' = 'page'): void {
  const headings = document.querySelectorAll<HTMLElement>('main [data-heading]');
  const heading = of === 'page' ? headings[0] : headings[headings.length - 1];
  heading?.focus({ preventScroll: true });
}
