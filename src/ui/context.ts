/** The workspace, for every component below App. */
import { createContext } from 'svelte';
import type { Workspace } from './shell/workspace.svelte';

export const [useWorkspace, provideWorkspace] = createContext<Workspace>();
