/** The card kit's report in Markdown: what was wrong first, then every figure. */
import type { Row } from '../bench/report';
import type { Finding, Outcome, Size } from './types';

type Of<K extends Finding['kind']> = Extract<Finding, { readonly kind: K }>;

function of<K extends Finding['kind']>(outcomes: readonly Outcome[], kind: K): Of<K>[] {
  return outcomes.flatMap(({ findings }) => findings.filter((finding): finding is Of<K> => finding.kind === kind));
}

export function report(outcomes: readonly Outcome[], { size, seconds }: { size: Size; seconds: number }): string {
  const failed = of(outcomes, 'check').filter(({ passed }) => !passed);
  const rows = of(outcomes, 'row').map(({ row }) => row);
  const group = (...groups: string[]) => rows.filter((row) => groups.includes(row.group));
  const sections: [string, string][] = [
    ['Device', table(['what', ''], facts(outcomes))],
    ['Parts', table(['part', 'seconds', 'checks', 'failed', 'rows', 'end'], outcomes.map(partCells))],
    [
      'What is wrong',
      table(
        ['check', 'found'],
        failed.map(({ name, detail }) => [name, detail]),
      ) || 'Nothing.',
    ],
    ['Ceilings', rowTable(group('ceiling'))],
    ['Kernels, with their share of the ceiling', rowTable(group('kernel'))],
    ['Steps, decoding and memory', rowTable(group('step'))],
    ['PyTorch with PEFT, the same steps', rowTable(group('peer')) || 'No row.'],
    ['Kernels chosen', table(['class', 'chosen', 'milliseconds of each', 'other bits'], choiceCells(outcomes))],
  ];
  const head = `# A first meeting with a GPU\n\nSize: ${size}. ${Math.round(seconds)} s in all.\n`;
  return [head, ...sections.map(([title, text]) => `## ${title}\n\n${text || 'Nothing was measured.'}\n`)].join('\n');
}

function facts(outcomes: readonly Outcome[]): string[][] {
  return of(outcomes, 'fact').map(({ name, value }) => [name, value]);
}

function partCells(outcome: Outcome): string[] {
  const checks = of([outcome], 'check');
  const failed = checks.filter(({ passed }) => !passed).length;
  const rows = of([outcome], 'row').length;
  const counts = [checks.length, failed, rows].map(String);
  return [outcome.name, outcome.seconds.toFixed(0), ...counts, outcome.failure ?? 'done'];
}

/** Each class once, as it was told last. */
function choiceCells(outcomes: readonly Outcome[]): string[][] {
  const choices = new Map(of(outcomes, 'choice').map(({ shapeClass, choice }) => [shapeClass, choice]));
  return [...choices].map(([shapeClass, { name, milliseconds = {}, differing = [] }]) => {
    const times = Object.entries(milliseconds).map(([variant, taken]) => `${variant}: ${taken.toPrecision(3)}`);
    return [shapeClass, name, times.join(', '), differing.join(', ')];
  });
}

function rowTable(rows: readonly Row[]): string {
  const number = (value: number | undefined, digits = 3) => value?.toPrecision(value >= 1000 ? 4 : digits) ?? '';
  return table(
    ['bench', 'model', 'type', 'shape', 'value', 'unit', 'ms', 'of ceiling', 'error', 'note'],
    rows.map((row) => [
      row.name,
      row.model ?? '',
      row.dtype ?? '',
      row.shape ?? '',
      number(row.value),
      row.unit ?? '',
      number(row.milliseconds),
      row.ofCeiling === undefined ? '' : `${(100 * row.ofCeiling).toFixed(0)} %`,
      row.error?.toExponential(0) ?? '',
      row.skipped ?? row.note ?? '',
    ]),
  );
}

/** Empty where there is no row. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replace(/[|\n]/g, ' ')).join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}
