import { dirname, join, resolve } from 'node:path';
import { checkpointToHandOn, handOff, HANDOFF_TARGETS, type HandoffTarget } from '../../recipes';
import type { Arguments } from '../arguments';
import type { Command } from '../command';
import { FolderStore, openFolder, refuseFilled } from '../folders';
import { openSource } from '../model-cache';
import { modelSource, runDataset } from '../sources';
import { UsageError } from '../usage';

export const handoff: Command = {
  name: 'handoff',
  summary: 'a folder from which another trainer goes on with a run, on as many GPUs as there are',
  usage: `RUN_DIR --to ${HANDOFF_TARGETS.join('|')} --output DIR`,
  syntax: {
    positionals: 1,
    runKeys: false,
    flags: {
      to: {
        value: 'TRAINER',
        help: 'accelerate goes on step by step on Transformers and PEFT; axolotl, llamafactory and trl get their own files',
      },
      data: { value: 'FILE', help: 'the dataset, where it is not where the run found it', default: "the run's" },
      output: { value: 'DIR', help: 'a new folder' },
    },
  },
  keepsResult: () => true,
  async run(args, terminal, signal) {
    const [path] = args.positionals;
    if (path === undefined) throw new UsageError('Name the folder of a run that was stopped on the way.');
    const to = targetOf(args);
    const output = args.required('output', 'name a new folder');
    await openFolder(path);
    await refuseFilled(output);
    const store = new FolderStore(path);
    const { run } = await checkpointToHandOn(store);
    const say = (line: string) => terminal.say(line);
    const modelFiles = await modelSource(run.model_name_or_path, run.revision, say, signal);
    const model = await openSource(modelFiles, say);
    const dataset = await runDataset({ ...run, dataset: args.text('data') ?? run.dataset }, signal);
    const modelPath = resolve(modelFiles.name);
    const { files, commands, leftOut, step, totalSteps } = await handOff(
      { store, model, modelFiles, modelPath, dataset, to },
      signal,
    );
    for (const file of files) {
      const folder = new FolderStore(join(output, dirname(file.path)));
      await folder.write(file.path.slice(file.path.lastIndexOf('/') + 1), file.bytes);
    }
    const names = files.map((file) => file.path);
    terminal.emit({
      kind: 'summary',
      output_dir: output,
      files: names,
      step,
      total_steps: totalSteps,
      commands,
      left_out: leftOut,
    });
    terminal.say(`The run, after step ${step} of ${totalSteps}, is in ${output} for ${to}. There:`);
    for (const command of commands) terminal.say(`  ${command}`);
    leftOut.forEach(say);
  },
};

function targetOf(args: Arguments): HandoffTarget {
  const given = args.required('to', `name one of ${HANDOFF_TARGETS.join(', ')}`);
  const target = HANDOFF_TARGETS.find((known) => known === given);
  if (target) return target;
  throw new UsageError(`--to must be one of ${HANDOFF_TARGETS.join(', ')}, but is ${JSON.stringify(given)}.`);
}
