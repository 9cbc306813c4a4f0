/** Requests of the text worker by what can hang in them, and the sentence for one that does. */
import { formatCount } from '../../core/format';
import type { RequestOf } from '../../protocol/jobs';
import type { ModelRef } from '../../protocol/models';
import type { TextJobs } from '../../protocol/workers';

/** What a request reads: a model, and perhaps data. */
interface Subject {
  readonly model?: ModelRef;
  readonly data?: { readonly name: string; readonly id: string };
}

/**
 * Names what a request reads of files, and how: two requests with one name hang alike. Undefined for one that reads what
 * somebody types, which is not kept.
 */
export function identifyRequest<K extends keyof TextJobs>(
  kind: K,
  request: RequestOf<TextJobs, K>,
): string | undefined {
  const { model, data } = subjectOf(request);
  if (!model || kind === 'prompts.chat') return undefined;
  const { config } = request as { config?: { chat_template?: unknown; max_length?: unknown } };
  return JSON.stringify([data ? 'data' : kind, modelId(model), data?.id, config?.chat_template, config?.max_length]);
}

/** A sentence or two: what was stopped, where it was, and what to do. */
export function describeHang<K extends keyof TextJobs>(
  kind: K,
  request: RequestOf<TextJobs, K>,
  rowsRead: number,
): string {
  const { model, data } = subjectOf(request);
  const name = model?.name ?? 'this model';
  if (kind === 'models.open') {
    return (
      `Opening ${name} did not come to an end in time and was stopped: something in its tokenizer.json or its chat ` +
      'template goes on for too long. Take another copy of the model.'
    );
  }
  if (data) {
    const place = rowsRead > 0 ? `after row ${formatCount(rowsRead)}` : 'among its first rows';
    return (
      `Reading ${data.name} with ${name} did not come to an end in time and was stopped, ${place}: a very long row, or ` +
      "something in the model's tokenizer.json or chat template. Shorten or remove that row, or take another model."
    );
  }
  return (
    `${name} did not come to an end over this text in time and was stopped: it is very long, or something in the model's ` +
    'tokenizer.json or chat template goes on for too long. Shorten it, or take another model.'
  );
}

function subjectOf(request: unknown): Subject {
  const { ref, run, model, dataset, runId } = request as {
    ref?: ModelRef;
    run?: unknown;
    model?: ModelRef;
    dataset?: { id: string; name: string } | { runId: string };
    runId?: string | null;
  };
  if (run !== undefined) return subjectOf(run);
  const opened = model ?? ref;
  if (dataset && 'id' in dataset) return { ...(opened && { model: opened }), data: dataset };
  const id = dataset?.runId ?? (model && 'limit' in (request as object) ? runId : undefined);
  if (typeof id === 'string') {
    return { ...(opened && { model: opened }), data: { id: `run ${id}`, name: "the run's data" } };
  }
  return opened ? { model: opened } : {};
}

/** A folder is another one each time that it is opened; its files' sizes and dates tell it again. */
function modelId(ref: ModelRef): unknown {
  if (ref.kind === 'files') return ref.files.map(({ name, size, lastModified }) => [name, size, lastModified]);
  return ref.kind === 'kept'
    ? ref.id
    : [ref.kind, ref.name, ref.kind === 'hub' && [ref.commit ?? ref.revision, ref.endpoint]];
}
