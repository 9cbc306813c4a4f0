/** The day that a chat template prints: the day a run began, however long it takes and whenever it goes on. */
import type { RunConfig } from '../../core/config';
import type { RunStore } from '../../core/store';
import type { ChatTemplate, Day } from '../../core/text';
import { RUN_FILE } from './outputs';
import { parseRunFile } from './records';

/**
 * The run with its day, where the template prints one: as the run file says, else as `started`, the folder of a run to
 * go on with, has it, else today.
 */
export async function withTemplateDate(
  run: RunConfig,
  template: ChatTemplate | undefined,
  started: RunStore | undefined,
): Promise<RunConfig> {
  if (run.template_date !== undefined || !template?.onDay) return run;
  const written = await started?.read(RUN_FILE);
  const day = written && parseRunFile(written, `${RUN_FILE} in ${started!.name}`).template_date;
  return { ...run, template_date: day ?? today() };
}

/** The template as this run renders it. */
export function datedTemplate(run: RunConfig, template: ChatTemplate | undefined): ChatTemplate | undefined {
  return run.template_date === undefined ? template : (template?.onDay?.(run.template_date as Day) ?? template);
}

/** The day that this run's template prints, or undefined where it prints none. */
export function templateDay(run: RunConfig, template: ChatTemplate | undefined): Day | undefined {
  return template?.onDay ? ((run.template_date as Day | undefined) ?? today()) : undefined;
}

/** Local time, as Python's datetime.now(). */
export function today(): Day {
  const now = new Date();
  const two = (n: number) => String(n).padStart(2, '0');
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}` as Day;
}
