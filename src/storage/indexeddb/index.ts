/** The browser's storage. */
export { ChatStore } from './chats';
export { DATABASE_VERSION, openDatabase, type Database } from './database';
export { EvaluationStore } from './evaluations';
export { BrowserFolder, SHARD_BYTES } from './folder';
export { KeptModels } from './models';
export { BrowserOpenings } from './openings';
export { isDamagedRun, logRowsOf } from './rows';
export { RunLibrary } from './runs';
export { browserWeightCache } from './weights';
export { SettingsStore } from './settings';
export { TabStore, type RememberedDataset } from './tabs';
