/** The workspace, for every component below App, and the draft in it. */
import { createContext } from 'svelte';
import type { Draft } from './shell/draft.svelte';
import type { Workspace } from './shell/workspace.svelte';

export const [useWorkspace, provideWorkspace] = createContext<Workspace>();

export const useDraft = (): Draft => useWorkspace().draft;
