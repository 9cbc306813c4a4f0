/** What lets models open without a connection, in the browser's database. */
import type { KnownRevision, ModelOpening, OpeningCache } from '../../core/weight-cache';
import { guard, type Database } from './database';

export class BrowserOpenings implements OpeningCache {
  constructor(private readonly database: Database) {}

  opening(model: string): Promise<ModelOpening | undefined> {
    return guard('read the kept model', () => this.database.get('openings', model));
  }

  async keepOpening(model: string, opening: ModelOpening): Promise<void> {
    await guard('keep the model', () => this.database.put('openings', opening, model));
  }

  async forgetOpening(model: string): Promise<void> {
    await guard('delete the kept model', () => this.database.delete('openings', model));
  }

  revision(repository: string, revision: string): Promise<KnownRevision | undefined> {
    return guard('read the kept model', () => this.database.get('revisions', [repository, revision]));
  }

  async keepRevision(repository: string, revision: string, known: KnownRevision): Promise<void> {
    await guard('keep the model', () => this.database.put('revisions', known, [repository, revision]));
  }
}
