/** What runs answered of their own data: question by question, deleted with the run. */
import type { ComparedQuestion, KeptEvaluation } from '../../core/answers';
import { GraftError } from '../../core/errors';
import { comparedRowsOf, evaluationHead } from './answer-rows';
import { guard, inTransaction, keysUnder, type Database } from './database';

export class EvaluationStore {
  constructor(private readonly database: Database) {}

  /** Undefined where the run was never asked. */
  async read(runId: string): Promise<KeptEvaluation | undefined> {
    return guard('read the evaluation', async () => {
      const transaction = this.database.transaction(['evaluations', 'evaluationRows']);
      const [head, rows] = await Promise.all([
        transaction.objectStore('evaluations').get(runId),
        transaction.objectStore('evaluationRows').getAll(keysUnder(runId)),
      ]);
      const asked = evaluationHead(head);
      return asked && { ...asked, rows: comparedRowsOf(rows) };
    });
  }

  /**
   * Begins an evaluation in place of the one before; its rows follow.
   * @throws `not-found` where the run was deleted meanwhile; `storage` where there is no room
   */
  async begin(runId: string, asked: Pick<KeptEvaluation, 'total' | 'step'>): Promise<void> {
    await guard('keep the evaluation', () =>
      inTransaction(this.database, ['runs', 'evaluations', 'evaluationRows'], async (transaction) => {
        if ((await transaction.objectStore('runs').getKey(runId)) === undefined) {
          throw new GraftError('not-found', 'The run was deleted: its evaluation is not kept.');
        }
        await transaction.objectStore('evaluationRows').delete(keysUnder(runId));
        await transaction.objectStore('evaluations').put(asked, runId);
      }),
    );
  }

  /** Keeps a question with what was answered so far, counted from 0; nothing where its run was deleted meanwhile. */
  async keepRow(runId: string, index: number, row: ComparedQuestion): Promise<void> {
    await guard('keep the evaluation', () =>
      inTransaction(this.database, ['evaluations', 'evaluationRows'], async (transaction) => {
        if ((await transaction.objectStore('evaluations').getKey(runId)) === undefined) return;
        await transaction.objectStore('evaluationRows').put(row, [runId, index]);
      }),
    );
  }
}
