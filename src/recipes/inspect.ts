/** What will be trained on, before training: each example rendered, its tokens and mask, and the lengths of all. */
import type { DataReport, ExampleView } from '../core/events';
import { dataReport, exampleView, sidesOf } from '../data/report';
import type { ReadData, TextModel } from './steps/data';

export { exampleView, sidesOf };
export { prepareData, type DatasetFile, type PreparedData, type TextModel } from './steps/data';

/** The report on prepared data, with the first `maxExamples` rows in full. */
export function inspectPrepared(data: ReadData, model: TextModel, maxExamples?: number): DataReport {
  return dataReport(data, model, maxExamples);
}

/** Examples `from` … `from + count - 1` of the kept rows, counted from 0. */
export function exampleViews(data: ReadData, model: TextModel, from: number, count: number): ExampleView[] {
  return data.tokenized.examples.slice(from, from + count).map((example) => exampleView(example, model.tokenizer));
}
