/** What will be trained on, before training: each example rendered, its tokens and mask, and the lengths of all. */
import type { RunConfig } from '../core/config';
import type { DataReport, ExampleView } from '../core/events';
import { dataReport, exampleView } from '../data/report';
import { prepareData, type DatasetFile, type PreparedData, type ReadData, type TextModel } from './steps/data';

export { exampleView };
export { prepareData, type DatasetFile, type PreparedData, type TextModel } from './steps/data';

/** The report on prepared data, with the first `maxExamples` rows in full. */
export function inspectPrepared(data: ReadData, model: TextModel, maxExamples?: number): DataReport {
  return dataReport(data, model, maxExamples);
}

/** @throws `bad-data` naming the row, `bad-config` from the template or the run. */
export async function inspectData(
  run: RunConfig,
  model: TextModel,
  file: DatasetFile,
  maxExamples?: number,
): Promise<DataReport> {
  return inspectPrepared(await prepareData(run, model, file), model, maxExamples);
}

/** Examples `from` … `from + count - 1` of the kept rows, counted from 0. */
export function exampleViews(data: PreparedData, model: TextModel, from: number, count: number): ExampleView[] {
  return data.tokenized.examples.slice(from, from + count).map((example) => exampleView(example, model.tokenizer));
}
