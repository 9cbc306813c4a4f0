/** What the page had open, for after a reload: single values under a name. */
import { guard, type Database } from './database';

export class Workspace {
  constructor(private readonly database: Database) {}

  /** Whatever was set under the name by this version of Graft, or undefined. */
  get(name: string): Promise<unknown> {
    return guard('read what was open', () => this.database.get('workspace', name));
  }

  async set(name: string, value: unknown): Promise<void> {
    await guard('remember what is open', () => this.database.put('workspace', value, name));
  }
}
