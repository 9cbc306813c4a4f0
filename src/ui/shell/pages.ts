/** What is drawn at each place, loaded when it is first shown. */
import type { Component } from 'svelte';
import type { Route, RunTab } from '../routes';

interface RunPageProps {
  readonly Tab: Component;
  readonly tab: RunTab;
}

/** The page of a place; a run's has parts, of which one is open. */
export type Shown =
  | { readonly Page: Component }
  | { readonly RunPage: Component<RunPageProps>; readonly Tab: Component; readonly tab: RunTab };

const PAGES: Record<Exclude<Route['page'], 'run'>, () => Promise<{ default: Component }>> = {
  workbench: () => import('../pages/Workbench.svelte'),
  models: () => import('../pages/Models.svelte'),
  'base-chat': () => import('../pages/BaseChat.svelte'),
  runs: () => import('../pages/Runs.svelte'),
  compare: () => import('../pages/Compare.svelte'),
  settings: () => import('../pages/Settings.svelte'),
  missing: () => import('../pages/Missing.svelte'),
};

const TABS: Record<RunTab, () => Promise<{ default: Component }>> = {
  overview: () => import('../features/runs/RunOverview.svelte'),
  chat: () => import('../features/chat/RunChat.svelte'),
  evaluate: () => import('../features/evaluation/RunEvaluation.svelte'),
  settings: () => import('../features/runs/RunSettings.svelte'),
  files: () => import('../features/exports/RunFiles.svelte'),
};

export async function loadPage(route: Route): Promise<Shown> {
  if (route.page !== 'run') return { Page: (await PAGES[route.page]()).default };
  const [page, part] = await Promise.all([import('../pages/Run.svelte'), TABS[route.tab]()]);
  return { RunPage: page.default, Tab: part.default, tab: route.tab };
}
