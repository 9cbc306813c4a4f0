/** How a run asks its model: through the run's own chat template where it has one, and with its variables. */
import type { RunConfig } from '../../core/config';
import { GraftError } from '../../core/errors';
import type { FileSource } from '../../core/store';
import type { ChatTemplate, Conversation } from '../../core/text';
import type { AskedModel } from '../../formats/asked-model';
import { withTemplateOf } from '../../formats/saved-template';
import { withChatTemplate } from '../../formats/text-model';
import { RUN_FILE } from './outputs';
import { parseRunFile } from './records';

/** The keys of a run that say how its model is asked. */
export type TemplateKeys = Partial<Pick<RunConfig, 'chat_template' | 'chat_template_path' | 'chat_template_kwargs'>>;

/**
 * The model with the run's chat template, which every conversation of the run then goes through.
 * @throws `bad-config` for a template that can't be compiled, or that is still a path
 */
export function withRunTemplate<M extends AskedModel>(run: TemplateKeys, model: M): M {
  if (run.chat_template_path !== undefined) {
    throw new GraftError(
      'bad-config',
      "chat_template_path names a file, which can't be opened from here: write the template itself under chat_template.",
    );
  }
  const asked =
    run.chat_template === undefined ? model : withChatTemplate(model, 'chat_template of the run', run.chat_template);
  const { template } = asked;
  if (!template || !run.chat_template_kwargs) return asked;
  return { ...asked, template: withVariables(template, run.chat_template_kwargs) };
}

/**
 * The model as the run whose folder this is asked it: through the chat template that lies there, with the run's
 * variables. Of another program's folder, the template alone.
 */
export async function withTemplateOfRun<M extends AskedModel>(model: M, folder: FileSource): Promise<M> {
  const asked = await withTemplateOf(model, folder);
  if ((await folder.size('graft.json')) === undefined) return asked;
  const { chat_template, chat_template_kwargs } = parseRunFile(
    await folder.read(RUN_FILE),
    `${RUN_FILE} in ${folder.name}`,
  );
  return withRunTemplate({ chat_template, chat_template_kwargs }, asked);
}

/** A template that has these variables in every conversation; a conversation's own win. */
function withVariables(template: ChatTemplate, variables: Readonly<Record<string, unknown>>): ChatTemplate {
  const complete = (conversation: Conversation): Conversation => ({
    ...conversation,
    variables: { ...variables, ...conversation.variables },
  });
  const { generationSpans, onDay } = template;
  return {
    ...template,
    render: (conversation, options) => template.render(complete(conversation), options),
    ...(generationSpans && { generationSpans: (conversation) => generationSpans(complete(conversation)) }),
    ...(onDay && { onDay: (day) => withVariables(onDay(day), variables) }),
  };
}

/** Says which variables of a run its template never names. */
export function unreadVariables({ chat_template_kwargs }: TemplateKeys, template: ChatTemplate | undefined): string[] {
  const unread = Object.keys(chat_template_kwargs ?? {}).filter((name) => !template?.text.includes(name));
  if (unread.length === 0 || !template) return [];
  return [`The chat template (${template.source}) doesn't read ${unread.join(', ')} of chat_template_kwargs.`];
}
