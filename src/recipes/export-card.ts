/** What is written beside an export: what it is, what the self-check found, how it is used. */
import { formatRunConfig, type RunConfig } from '../core/config';
import { encodeUtf8, type FileSource } from '../core/store';
import { exportCard, type Exported } from '../formats/export-card';
import type { HubModel } from '../formats/model';
import { readAdapter } from '../formats/peft';
import { withTemplateOf } from '../formats/saved-template';
import { baseModelOf } from './steps/base-model';
import { RUN_FILE } from './steps/outputs';
import { parseRunFile } from './steps/records';
import { serverOptions } from './server-options';
import { verificationFacts } from './verification-facts';
import type { Verification } from './verify';

export const CARD = 'README.md';

export interface CardInput {
  readonly model: HubModel;
  /** As whoever exports it names it. */
  readonly modelName: string;
  readonly adapter?: FileSource | undefined;
  readonly exported: Exported;
  readonly found: Verification;
  /** Where the prompts come from, as a card says it; by default Graft's own were asked. */
  readonly promptsFrom?: string | undefined;
  readonly notices: readonly string[];
}

export async function describeExport(input: CardInput): Promise<Uint8Array<ArrayBuffer>> {
  const { model, modelName, adapter: folder, exported, found, promptsFrom, notices } = input;
  const run = folder && (await runOf(folder));
  const adapter = folder && (await readAdapter(folder));
  const text = exportCard({
    base: baseModelOf(run ?? { model_name_or_path: modelName, revision: model.commit ?? 'main' }),
    adapter,
    exported,
    checked: verificationFacts(found, promptsFrom),
    notices: [...new Set([...notices, ...found.notices])],
    serverOptions: serverOptions(folder ? await withTemplateOf(model, folder) : model, run),
    runYaml: run && formatRunConfig(run),
  });
  return new Uint8Array(encodeUtf8(text));
}

/** The run that made an adapter; undefined for one of another program. */
async function runOf(folder: FileSource): Promise<RunConfig | undefined> {
  if ((await folder.size(RUN_FILE)) === undefined) return undefined;
  return parseRunFile(await folder.read(RUN_FILE), `${RUN_FILE} in ${folder.name}`);
}
