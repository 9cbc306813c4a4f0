/** The browser's storage. */
export { openDatabase, whileOpen, type Database } from './database';
export { BrowserFolder, SHARD_BYTES } from './folder';
export { KeptModels } from './models';
export { BrowserOpenings } from './openings';
export { RunLibrary } from './runs';
export { browserWeightCache } from './weights';
export { SettingsStore, SettingsStore as Workspace, type RememberedDataset } from './settings';
