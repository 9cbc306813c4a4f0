/** Conversations, turn by turn: with a run, with which they are deleted, or with a base model. */
import type { IDBPTransaction } from 'idb';
import { runOfChat, type ChatHead, type KeptChat, type Turn } from '../../core/answers';
import { GraftError } from '../../core/errors';
import { chatHead, turnRow } from './answer-rows';
import { guard, inTransaction, keysUnder, type Database, type Schema } from './database';

type ChatTable = 'runs' | 'chats' | 'chatTurns';
type ChatTransaction = IDBPTransaction<Schema, ChatTable[], 'readwrite'>;

const TABLES: ChatTable[] = ['runs', 'chats', 'chatTurns'];

export class ChatStore {
  constructor(private readonly database: Database) {}

  /** What was said; nothing where there was no conversation. */
  async read(chat: string): Promise<KeptChat> {
    return guard('read the conversation', async () => {
      const transaction = this.database.transaction(['chats', 'chatTurns']);
      const [head, turns] = await Promise.all([
        transaction.objectStore('chats').get(chat),
        transaction.objectStore('chatTurns').getAll(keysUnder(chat)),
      ]);
      return { ...chatHead(head), turns: turns.map(turnRow) };
    });
  }

  /**
   * Keeps a turn, counted from 0, as it is now.
   * @throws `not-found` where the run was deleted meanwhile; `storage` where there is no room
   */
  async keepTurn(chat: string, index: number, turn: Turn): Promise<void> {
    await this.keep(chat, (transaction) => transaction.objectStore('chatTurns').put(turn, [chat, index]));
  }

  /** Keeps what a conversation is held with. Throws as `keepTurn`. */
  async keepHead(chat: string, head: ChatHead): Promise<void> {
    await this.keep(chat, (transaction) => transaction.objectStore('chats').put(head, chat));
  }

  /** Deletes what was said; what it is held with stays for what is said next. */
  async clear(chat: string): Promise<void> {
    await guard('delete the conversation', () => this.database.delete('chatTurns', keysUnder(chat)));
  }

  private async keep(chat: string, put: (transaction: ChatTransaction) => Promise<unknown>): Promise<void> {
    const runId = runOfChat(chat);
    await guard('keep the conversation', () =>
      inTransaction(this.database, TABLES, async (transaction) => {
        if (runId !== undefined && (await transaction.objectStore('runs').getKey(runId)) === undefined) {
          throw new GraftError('not-found', 'The run of this conversation was deleted: it is not kept any more.');
        }
        await put(transaction);
      }),
    );
  }
}
