/** The loss curve, drawn by uPlot in the colours of the page. */
import uPlot from 'uplot';
import type { LogRow } from '../../../core/events';

/** Colours as the browser has resolved them: a canvas knows no `var()` and no `light-dark()`. */
export interface ChartColours {
  readonly accent: string;
  readonly ink: string;
  readonly muted: string;
  readonly line: string;
  readonly font: string;
}

/** The colours of the page now, by an element that takes each of them in turn. */
export function resolveColours(probe: HTMLElement): ChartColours {
  const style = (name: string) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  return {
    accent: style('accent'),
    ink: style('ink'),
    muted: style('muted'),
    line: style('line'),
    font: getComputedStyle(probe).fontFamily,
  };
}

/** Columns as uPlot takes them: step, loss, smoothed loss, held-out loss. */
export type ChartData = [number[], (number | null)[], (number | null)[], (number | null)[]];

/** The smoothed curve looks back over about this part of the steps, so that a short run is not smoothed away. */
const SPAN = 1 / 25;

export function chartData(rows: readonly LogRow[]): ChartData {
  const bySteps = new Map<number, { loss?: number; evalLoss?: number }>();
  for (const { step, loss, eval_loss: evalLoss } of rows) {
    const point = bySteps.get(step) ?? {};
    if (loss !== undefined) point.loss = loss;
    if (evalLoss !== undefined) point.evalLoss = evalLoss;
    bySteps.set(step, point);
  }
  const data: ChartData = [[], [], [], []];
  // An exponential mean with its bias taken out, as TensorBoard smooths.
  const past = Math.max(0, 1 - 2 / (bySteps.size * SPAN + 1));
  let average = 0;
  let weight = 0;
  for (const [step, { loss, evalLoss }] of [...bySteps].sort(([a], [b]) => a - b)) {
    if (loss !== undefined) {
      average = past * average + (1 - past) * loss;
      weight = past * weight + (1 - past);
    }
    data[0].push(step);
    data[1].push(loss ?? null);
    data[2].push(loss === undefined ? null : average / weight);
    data[3].push(evalLoss ?? null);
  }
  return data;
}

export interface ChartOptions {
  readonly width: number;
  readonly height: number;
  readonly colours: ChartColours;
  readonly logarithmic: boolean;
  /** The step at the right edge. */
  readonly lastStep: number;
  /** Called with the index of the row under the pointer. */
  readonly onHover: (index: number | null) => void;
}

/**
 * The step at the right edge: of a run that trains, its last one, so that the curve grows into its frame; of one that is
 * over, the one it came to, whatever was planned.
 */
export function findLastStep(steps: readonly number[], totalSteps: number, isOver: boolean): number {
  const reached = steps.at(-1) ?? 0;
  return (isOver ? reached : Math.max(totalSteps, reached)) || EMPTY;
}

/** Steps of a frame that has none yet. */
const EMPTY = 10;

/** Columns of two curves over the same steps: smoothed losses, then held-out losses, of each. */
export function compareData(runs: readonly [readonly LogRow[], readonly LogRow[]]): uPlot.AlignedData {
  return uPlot.join(
    runs.map((rows) => {
      const [steps, , smoothed, heldOut] = chartData(rows);
      return [steps, smoothed, heldOut];
    }),
  );
}

/** Two curves in one frame: the first in ink, the second in the accent. */
export function createComparison(
  target: HTMLElement,
  data: uPlot.AlignedData,
  options: Pick<ChartOptions, 'width' | 'height' | 'colours'>,
): uPlot {
  const { colours } = options;
  const ofRun = (stroke: string): uPlot.Series[] => [
    { stroke, width: 2, points: aloneIn(stroke), spanGaps: true },
    { stroke, width: 1.5, dash: [5, 4], spanGaps: true, points: { size: 6, fill: stroke } },
  ];
  const config: uPlot.Options = {
    ...frameOf({ ...options, lastStep: findLastStep(data[0] as number[], 0, true) }, false),
    series: [{}, ...ofRun(colours.ink), ...ofRun(colours.accent)],
  };
  return new uPlot(config, data, target);
}

/** A dot where there is one value alone, of which no line can be drawn. */
function aloneIn(fill: string): uPlot.Series.Points {
  const show: uPlot.Series.Points.Show = (chart, series) => isAlone(chart.data[series] ?? []);
  return { show, size: 6, fill };
}

export function isAlone(values: ArrayLike<number | null | undefined>): boolean {
  return Array.from(values).filter((value) => typeof value === 'number').length === 1;
}

type Frame = Omit<uPlot.Options, 'series'>;

function frameOf(
  { width, height, colours, lastStep }: Pick<ChartOptions, 'width' | 'height' | 'colours' | 'lastStep'>,
  logarithmic: boolean,
): Frame {
  const axis: uPlot.Axis = {
    stroke: colours.muted,
    font: `12px ${colours.font}`,
    grid: { stroke: colours.line, width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height,
    padding: [8, labelRoom(lastStep), 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    scales: {
      x: { time: false, range: [0, lastStep] },
      y: logarithmic
        ? { distr: 3, log: 10 }
        : { range: (_chart, _min, max) => [0, Number.isFinite(max) && max > 0 ? max * 1.08 : 5] },
    },
    axes: [
      { ...axis, size: 30, space: 60, incrs: WHOLE_STEPS },
      {
        ...axis,
        size: 46,
        space: 36,
        values: (_chart, ticks) => ticks.map((tick) => (tick === null ? '' : String(tick))),
      },
    ],
  };
}

/** Pixels right of the frame, where half of the last label stands: a digit in the axes' font is up to 8 wide. */
export function labelRoom(lastStep: number): number {
  return Math.max(12, 4 * lastStep.toLocaleString().length + 2);
}

/** Distances between two labels of steps: 1, 2, 5, 10, … */
const WHOLE_STEPS = Array.from({ length: 9 }, (_, power) => [1, 2, 5].map((by) => by * 10 ** power)).flat();

export function createChart(target: HTMLElement, data: ChartData, options: ChartOptions): uPlot {
  const { colours, logarithmic } = options;
  const config: uPlot.Options = {
    ...frameOf(options, logarithmic),
    series: [
      { label: 'Step' },
      { label: 'Loss', stroke: withAlpha(colours.accent, 0.35), width: 1, points: { show: false } },
      { label: 'Loss, smoothed', stroke: colours.accent, width: 2.25, points: aloneIn(colours.accent), spanGaps: true },
      {
        label: 'Held-out loss',
        stroke: colours.ink,
        width: 1.5,
        dash: [5, 4],
        spanGaps: true,
        points: { size: 6, fill: colours.ink },
      },
    ],
    hooks: { setCursor: [(chart) => options.onHover(chart.cursor.idx ?? null)] },
  };
  return new uPlot(config, data, target);
}

/** `rgb(1, 2, 3)`, as browsers resolve colours, made translucent. */
function withAlpha(colour: string, alpha: number): string {
  return colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}
