/** The places of the page. Each is a hash, so that any static host serves them and a link leads to every one. */

export const RUN_TABS = ['overview', 'chat', 'evaluate', 'settings', 'files'] as const;
export type RunTab = (typeof RUN_TABS)[number];

export type Route =
  | { readonly page: 'workbench' | 'models' | 'base-chat' | 'runs' | 'settings' | 'missing' }
  | { readonly page: 'run'; readonly id: string; readonly tab: RunTab }
  /** Two runs, the earlier one first; those that are still to be picked are absent. */
  | { readonly page: 'compare'; readonly ids: readonly string[] };

const COMPARE = 'runs/compare';

const PLACES = {
  workbench: '#/',
  models: '#/models',
  'base-chat': '#/models/chat',
  runs: '#/runs',
  settings: '#/settings',
} as const;

/** The place that a hash names; one that is no address of ours (`#train` of an earlier page, or none) is the workbench. */
export function parseRoute(hash: string): Route {
  if (!hash.startsWith('#/')) return { page: 'workbench' };
  const [address = '', query = ''] = hash.slice(2).split('?', 2);
  const path = address.replace(/\/+$/, '');
  if (path === COMPARE) {
    // One run beside itself is one run: the other has still to be picked.
    return { page: 'compare', ids: [...new Set(new URLSearchParams(query).getAll('run'))].slice(0, 2) };
  }
  const [first, id, tab = 'overview', ...rest] = path.split('/');
  if (first === 'runs' && id && rest.length === 0 && isRunTab(tab)) return { page: 'run', id: decode(id), tab };
  for (const [page, place] of Object.entries(PLACES)) {
    if (place.slice(2) === path) return { page: page as keyof typeof PLACES };
  }
  return { page: 'missing' };
}

export function placeOf(page: keyof typeof PLACES): string {
  return PLACES[page];
}

export function comparePlace(ids: readonly string[]): string {
  const query = new URLSearchParams(ids.map((id) => ['run', id]));
  return `#/${COMPARE}${ids.length > 0 ? `?${query}` : ''}`;
}

export function runPlace(id: string, tab: RunTab = 'overview'): string {
  return `#/runs/${encodeURIComponent(id)}${tab === 'overview' ? '' : `/${tab}`}`;
}

const TITLES: Readonly<Record<Exclude<Route['page'], 'workbench' | 'run'>, string>> = {
  models: 'Models',
  'base-chat': 'Talk to a model',
  runs: 'Runs',
  compare: 'Compare two runs',
  settings: 'Settings',
  missing: 'Nothing is here',
};
const TAB_TITLES: Readonly<Record<RunTab, string>> = {
  overview: '',
  chat: 'Chat',
  evaluate: 'Evaluate',
  settings: 'Settings',
  files: 'Files',
};

/** What the tab of the browser says. */
export function pageTitle(route: Route, runName = 'Run'): string {
  if (route.page === 'workbench') return 'Graft: fine-tune a language model in this tab';
  const names = route.page === 'run' ? [TAB_TITLES[route.tab], runName] : [TITLES[route.page]];
  return [...names, 'Graft'].filter(Boolean).join(' · ');
}

function isRunTab(tab: string): tab is RunTab {
  return (RUN_TABS as readonly string[]).includes(tab);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody typed it: there is no run of that name
  }
}
