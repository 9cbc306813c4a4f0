/** The page itself, loaded while its workers start. */
import { mount } from 'svelte';
import App from './App.svelte';
import { parseRoute } from './routes';
import { loadPage } from './shell/pages';

// Its script is on its way while the frame around it is drawn; where it does not come, the frame says so.
loadPage(parseRoute(location.hash)).catch(() => undefined);

export function mountApp(target: HTMLElement): void {
  target.replaceChildren();
  mount(App, { target });
}
