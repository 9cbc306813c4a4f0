/** The browser's storage. */
export { openDatabase, type Database } from './database';
export { BrowserFolder, SHARD_BYTES } from './folder';
export { KeptModels } from './models';
export { BrowserOpenings } from './openings';
export { isDamagedRun, logRowsOf } from './rows';
export { RunLibrary } from './runs';
export { browserWeightCache } from './weights';
export { SettingsStore, type RememberedDataset } from './settings';
