import { mount } from 'svelte';
import App from './App.svelte';
import { parseRoute } from './routes';
import { loadPage } from './shell/pages';
import './styles/theme.css';
import './styles/base.css';
import './styles/controls.css';

// Its script is on its way while the frame around it is drawn; where it does not come, the frame says so.
loadPage(parseRoute(location.hash)).catch(() => undefined);

const target = document.getElementById('app')!;
target.replaceChildren();
mount(App, { target });
