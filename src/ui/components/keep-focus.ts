import type { Action } from 'svelte/action';

/**
 * Where a control goes away or is disabled while the keyboard is on it, another one in the same place takes the focus, or
 * the place itself, which needs `tabindex="-1"` for that.
 */
export const keepFocus: Action = (place) => {
  let last: Element | undefined;
  const onFocusIn = (event: FocusEvent) => (last = event.target as Element);
  const observer = new MutationObserver(() => {
    const isLost = document.activeElement === document.body || document.activeElement === last;
    if (!last || !isLost || (last.isConnected && !last.matches(':disabled'))) return;
    last = undefined;
    const next = place.querySelector<HTMLElement>('button:not(:disabled), a[href]');
    (next ?? place).focus({ preventScroll: true });
  });
  const onFocusOut = ({ relatedTarget }: FocusEvent) => {
    if (relatedTarget) last = undefined; // it went on by itself
  };
  place.addEventListener('focusin', onFocusIn);
  place.addEventListener('focusout', onFocusOut);
  observer.observe(place, { childList: true, subtree: true, attributes: true, attributeFilter: ['disabled'] });
  return {
    destroy() {
      observer.disconnect();
      place.removeEventListener('focusin', onFocusIn);
      place.removeEventListener('focusout', onFocusOut);
    },
  };
};
