/** The browser's storage. */
export { openDatabase, type Database } from './database';
export { BrowserFolder, SHARD_BYTES } from './folder';
export { KeptModels } from './models';
export { RunLibrary } from './runs';
export { Workspace } from './workspace';
