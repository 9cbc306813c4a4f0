import type { RunConfig } from '../../core/config';
import type { ExampleView } from '../../core/events';
import { formatCount, plural } from '../../core/format';
import type { HubText } from '../../formats/text-model';
import { checkBadRows, exampleView, readData, sidesOf, renderRows, type ReadData } from '../../recipes';
import type { Command } from '../command';
import { MODEL_FLAG, modelName } from '../loading';
import { datasetFile, runOverrides } from '../sources';
import type { Terminal } from '../terminal';
import { openRunText } from '../text-models';
import { UsageError } from '../usage';

const ACTIONS = ['show', 'render'] as const;

export const data: Command = {
  name: 'data',
  summary: 'a dataset as the model reads it: rows, what is trained of them, what is left out',
  usage: '(show | render) FILE --model MODEL [--rows 1-5] [--generation-prompt] [--KEY VALUE …]',
  syntax: {
    positionals: 2,
    runKeys: true,
    flags: {
      model: { ...MODEL_FLAG, help: `${MODEL_FLAG.help}; tokenizer and template are enough` },
      run: { value: 'RUN.yaml', help: 'the run whose settings hold' },
      data: { value: 'FILE', help: 'the dataset, where FILE does not name it' },
      rows: { value: 'ROWS', help: 'show these rows of the file only: 1-5, 3, or 3,8-10', default: 'all' },
      'generation-prompt': { help: 'render: with what the template puts before an answer that is asked for' },
    },
  },
  async run(args, terminal, signal) {
    const [action, file] = args.positionals;
    const known = ACTIONS.find((name) => name === action);
    if (!known) {
      const meant = action?.startsWith('r') ? 'render' : 'show';
      throw new UsageError(`Write graft data ${meant} FILE --model MODEL: show or render comes first.`);
    }
    const rows = rowRanges(args.text('rows'));
    const isChosen = (row: number) => rows.some(({ from, to }) => row >= from && row <= to);
    const { run } = await runOverrides(args, args.text('run'), signal);
    const path = file ?? run.dataset;
    if (path === undefined) throw new UsageError(`Name a dataset: graft data ${known} FILE --model MODEL.`);
    const name = args.has('model') || !args.has('run') ? modelName(args) : run.model_name_or_path;
    const model = await openRunText(name, run, (line) => terminal.say(line), signal);
    const dataset = await datasetFile(path, signal);
    if (known === 'render') {
      const rendered = await renderRows(run, modelOf(model), dataset, args.has('generation-prompt'));
      refuseBeyond(rows, Math.max(0, ...rendered.map(({ row }) => row)), dataset.name);
      for (const row of rendered.filter((item) => isChosen(item.row))) {
        terminal.emit(row);
        terminal.print(
          row.text === undefined ? `── row ${row.row} ── ${row.error}\n` : `── row ${row.row}\n${row.text}\n`,
        );
      }
      return;
    }
    const progress = (rows: number, total: number) => terminal.bar(rows / total, `${rows}/${total} rows`);
    const read = await readData(run, modelOf(model), dataset, progress, signal);
    terminal.hideBar();
    refuseBeyond(rows, read.dataset.rowCount, dataset.name);
    const chosen = read.tokenized.examples.filter(({ row }) => isChosen(row));
    if (chosen.length === 0) terminal.say(`None of the rows that are trained is among --rows ${args.text('rows')}.`);
    for (const example of chosen.flatMap(sidesOf)) {
      showRow(exampleView(example, model.tokenizer), example.labels, terminal);
    }
    showSummary(read, model, run, terminal);
    checkBadRows(run, read); // after all has been shown: a run would be refused
  },
};

/** What is read of data needs of a model. */
function modelOf({ tokenizer, template, vocabSize, maxPositions }: HubText) {
  return { tokenizer, template, spec: { vocabSize, maxPositions } };
}

function showRow(view: ExampleView, labels: readonly number[], terminal: Terminal): void {
  const marked = markTrained(view);
  const input_ids = view.tokens.map(({ id }) => id);
  terminal.emit({ row: view.row, text: view.text, marked, input_ids, labels });
  terminal.print(`── row ${view.row}, ${formatCount(input_ids.length)} tokens\n${marked}\n\n`);
}

/** The text with ⟦ and ⟧ around what is trained. */
function markTrained({ tokens }: ExampleView): string {
  let marked = '';
  let isOpen = false;
  for (const { text, trained } of tokens) {
    if (trained !== isOpen) marked += trained ? '⟦' : '⟧';
    isOpen = trained;
    marked += text;
  }
  return isOpen ? `${marked}⟧` : marked;
}

function showSummary(read: ReadData, model: HubText, run: RunConfig, terminal: Terminal): void {
  const { dataset, tokenized, skipped } = read;
  const notices = [...model.notices, ...read.notices];
  terminal.emit({ notices, skipped, format: dataset.format });
  for (const notice of notices) terminal.print(`• ${notice}\n`);
  const { examples, trainedTokens, totalTokens, longest, truncated } = tokenized;
  terminal.print(
    `${plural(examples.length, 'row')} of ${dataset.format}: ${plural(totalTokens, 'token')}, ${formatCount(trainedTokens)} of ` +
      `them trained; the longest row of the file has ${formatCount(longest)}` +
      `${truncated > 0 ? `, ${formatCount(truncated)} ${truncated === 1 ? 'is' : 'are'} cut to max_length ${run.max_length}` : ''}\n`,
  );
}

interface RowRange {
  readonly from: number;
  readonly to: number;
}

/** `1-5`, `3`, `1-5,8`; all of them where nothing is said. Rows are counted from 1. */
function rowRanges(text: string | undefined): readonly RowRange[] {
  if (text === undefined) return [{ from: 1, to: Infinity }];
  return text.split(',').map((part) => {
    const [, first, last = first] = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part) ?? [];
    if (first === undefined) throw new UsageError(`--rows must be rows such as 1-5 or 3,8, but is ${text}.`);
    const [from, to] = [Number(first), Number(last)];
    if (from >= 1 && from <= to) return { from, to };
    const why = from < 1 ? 'rows are counted from 1' : 'the first of a range is not above its last';
    throw new UsageError(`--rows must be rows such as 1-5 or 3,8, but is ${text}: ${why}.`);
  });
}

/** @throws UsageError for rows that begin after the file's last; `1-100` of a shorter file is all of it */
function refuseBeyond(rows: readonly RowRange[], count: number, name: string): void {
  const beyond = rows.find(({ from, to }) => from > count && to < Infinity);
  if (!beyond) return;
  const has = count === 1 ? 'has 1 row' : `has ${formatCount(count)} rows`;
  throw new UsageError(`There is no row ${beyond.from} to show: ${name} ${has}.`);
}
