import { formatBytes } from '../../core/bytes';
import { GraftError } from '../../core/errors';
import type { Command } from '../command';
import { openWeightCache } from '../model-cache';
import { openingsFolder } from '../opening-folder';
import { UsageError } from '../usage';

export const cache: Command = {
  name: 'cache',
  summary: 'weights kept from earlier loads: list, delete, pin',
  usage: '[list | delete ID … | pin ID … | unpin ID …] [--all]',
  syntax: {
    positionals: 100,
    runKeys: false,
    flags: { all: { help: 'with delete, every entry' } },
  },
  keepsResult: (args) => (args.positionals[0] ?? 'list') !== 'list',
  async run(args, terminal) {
    const [action = 'list', ...wanted] = args.positionals;
    const kept = openWeightCache();
    await kept.sweep();
    const entries = await kept.list();
    if (action === 'list') {
      for (const { id, model, storage, bytes, complete, pinned, usedAt } of entries) {
        const lastUsed = new Date(usedAt).toISOString();
        terminal.emit({ id, model, storage, bytes, complete, pinned, last_used: lastUsed });
        const marks = `${complete ? '' : ', in part'}${pinned ? ', pinned' : ''}`;
        const day = lastUsed.slice(0, 10);
        terminal.print(
          `${id.slice(0, 8)}  ${formatBytes(bytes).padStart(10)}  ${day}  ${model} (${storage}${marks})\n`,
        );
      }
      if (entries.length === 0) terminal.say('No weights are kept.');
      return;
    }
    if (!['delete', 'pin', 'unpin'].includes(action)) {
      throw new UsageError(`There is no graft cache ${action}: use list, delete, pin or unpin.`);
    }
    if (wanted.length === 0 && !(args.has('all') && action === 'delete')) {
      throw new UsageError(`Name what to ${action} by its id, as graft cache list shows it.`);
    }
    const chosen = args.has('all') ? entries : wanted.map((id) => find(entries, id));
    for (const { id, model } of chosen) {
      if (action === 'delete') {
        await kept.delete(id);
        const isLast = !(await kept.list()).some((entry) => entry.model === model);
        if (isLast) await openingsFolder(process.env).forgetOpening(model);
      } else await kept.pin(id, action === 'pin');
      terminal.emit({ action, id });
    }
    terminal.say(`${chosen.length} of ${entries.length} entries: ${action} done.`);
  },
};

/** The entry whose id begins so. Throws `not-found` where there is none, or more than one. */
function find<Entry extends { readonly id: string }>(entries: readonly Entry[], start: string): Entry {
  const [found, ...more] = entries.filter(({ id }) => id.startsWith(start));
  if (found && more.length === 0) return found;
  throw new GraftError('not-found', `${found ? 'More than one entry begins' : 'No entry begins'} with ${start}.`);
}
