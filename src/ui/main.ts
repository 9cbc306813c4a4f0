/**
 * The first script of the page, and a small one: it starts what takes longest on the way to a page that can be used, and
 * the rest of the page comes meanwhile.
 */
import textScript from '../../workers/text.worker.ts?worker&url';
import type { EarlyStart } from '../protocol/workers';
import { prepareWorker } from './client/start-worker';
import { loadModelRef } from './features/models/kept-model';
import './styles/theme.css';
import './styles/base.css';
import './styles/controls.css';

// A model is opened and data are read by this worker, and nothing can be started before.
const model = loadModelRef();
const start: EarlyStart = { baseUrl: document.baseURI, builtin: model.kind === 'builtin' ? model.name : null };
prepareWorker(textScript, JSON.stringify(start));

const target = document.getElementById('app')!;
import('./mount-app')
  .then(({ mountApp }) => mountApp(target))
  .catch((error: unknown) => {
    target.classList.add('failed'); // the words for it have come with the page
    target.querySelector('h1')?.focus();
    // With its place in the address, which the link has not.
    target.querySelector('a')?.addEventListener('click', (event) => {
      event.preventDefault();
      location.reload();
    });
    reportError(error);
  });
