/** The page itself, loaded while its workers start. */
import { mount } from 'svelte';
import { plainError } from '../core/errors';
import App from './App.svelte';
import { parseRoute } from './routes';
import { loadPage } from './shell/pages';

// Its script is on its way while the frame around it is drawn; where it does not come, the frame says so.
loadPage(parseRoute(location.hash)).catch(() => undefined);

/** Puts the page in the place of what stands in `target`, which stays where that fails. */
export function mountApp(target: HTMLElement): void {
  const before = [...target.children];
  try {
    mount(App, { target });
  } catch (error) {
    target.replaceChildren(...before);
    const words = target.querySelector('p');
    if (words)
      words.textContent = `It could not be started (${plainError(error).message}): reload it, or open it in another browser.`;
    throw error;
  }
  for (const element of before) element.remove();
}
