import { plural } from '../../core/format';
import { combineAdapters, COMBINATION_TYPES, type CombinationType } from '../../recipes';
import type { Arguments } from '../arguments';
import type { Command } from '../command';
import { FolderStore, refuseFilled } from '../folders';
import { adapterSource } from '../sources';
import { UsageError } from '../usage';

const MOST_ADAPTERS = 64;
const PRUNED = ['ties', 'dare_linear', 'dare_ties', 'magnitude_prune'] as const;

export const combine: Command = {
  name: 'combine',
  summary: 'several LoRA adapters of one model as a single one, each by a weight',
  usage: 'ADAPTER ADAPTER... --weights W,W,... [--combination-type TYPE] --output DIR',
  syntax: {
    positionals: MOST_ADAPTERS,
    runKeys: false,
    flags: {
      weights: { value: 'W,W,...', help: 'a number for each adapter, in their order; below 0 takes one away' },
      'combination-type': {
        value: 'TYPE',
        help:
          `as PEFT's add_weighted_adapter names them: ${COMBINATION_TYPES.join(', ')}. cat is the sum, exactly, of all ` +
          'ranks together; svd is nearest to it at one rank; the others add A and B apart, and take adapters of one rank',
        default: 'svd',
      },
      'svd-rank': { value: 'N', help: 'svd: the rank of what comes out', default: 'the largest rank' },
      density: {
        value: 'P',
        help: 'ties, dare_linear, dare_ties, magnitude_prune: the part of the numbers that stays, above 0 and at most 1',
      },
      'majority-sign-method': {
        value: 'total|frequency',
        help: 'ties, dare_ties: the sign that counts, by the sum of the numbers or by how many have it',
        default: 'total',
      },
      seed: { value: 'N', help: 'dare_linear, dare_ties: of what is drawn', default: '42' },
      output: { value: 'DIR', help: 'a new folder, which is an adapter as others are' },
    },
  },
  keepsResult: () => true,
  async run(args, terminal, signal) {
    const names = args.positionals;
    if (names.length === 0) throw new UsageError('Name the adapters to combine, and --weights, one for each.');
    const output = args.required('output', 'name a new folder');
    const weights = weightsOf(args, names);
    const type = typeOf(args);
    const options = {
      type,
      svdRank: args.number('svd-rank', { least: 1, whole: true }),
      density: densityOf(args, type),
      majoritySign: majorityOf(args),
      seed: args.number('seed', { least: 0, most: 2 ** 32 - 1, whole: true }),
    };
    refuseIdle(args, type);
    await refuseFilled(output);
    const say = (line: string) => terminal.say(line);
    const adapters = [];
    for (const [i, name] of names.entries())
      adapters.push({ folder: await adapterSource(name, say, signal), weight: weights[i]! });
    const { files, rank, notices } = await combineAdapters(adapters, options);
    notices.forEach(say);
    const store = new FolderStore(output);
    for (const { name, bytes } of files) await store.write(name, bytes);
    const written = files.map(({ name }) => name);
    terminal.emit({ kind: 'summary', output_dir: output, files: written, combination_type: type, rank, notices });
    say(`${plural(names.length, 'adapter')} in one, of rank ${rank}, in ${output}: ${written.join(', ')}`);
  },
};

function weightsOf(args: Arguments, names: readonly string[]): number[] {
  const given = args.required('weights', 'give a number for each adapter, as in 0.7,0.3');
  const weights = given.split(',').map((weight) => (weight.trim() === '' ? NaN : Number(weight)));
  if (!weights.every(Number.isFinite))
    throw new UsageError(
      `--weights must be numbers with commas between, as in 0.7,0.3, but is ${JSON.stringify(given)}.`,
    );
  if (weights.length !== names.length) {
    const [adapters, numbers] = [plural(names.length, 'adapter'), plural(weights.length, 'weight')];
    throw new UsageError(`There are ${adapters} and ${numbers}: give one for each.`);
  }
  if (weights.every((weight) => weight === 0)) throw new UsageError('--weights are all 0: nothing would be left.');
  return weights;
}

function typeOf(args: Arguments): CombinationType {
  const given = args.text('combination-type') ?? 'svd';
  const type = COMBINATION_TYPES.find((known) => known === given);
  if (type) return type;
  const known = COMBINATION_TYPES.join(', ');
  throw new UsageError(`--combination-type must be one of ${known}, but is ${JSON.stringify(given)}.`);
}

function densityOf(args: Arguments, type: CombinationType): number | undefined {
  const density = args.number('density', { above: 0, most: 1 });
  if (density === undefined && PRUNED.some((pruned) => pruned === type))
    throw new UsageError(`--density is missing: ${type} keeps a part of the numbers; 0.5 keeps half of them.`);
  return density;
}

function majorityOf(args: Arguments): 'total' | 'frequency' | undefined {
  const given = args.text('majority-sign-method');
  if (given === undefined || given === 'total' || given === 'frequency') return given;
  throw new UsageError(`--majority-sign-method must be total or frequency, but is ${JSON.stringify(given)}.`);
}

/** @throws UsageError for a flag that the type has no use for */
function refuseIdle(args: Arguments, type: CombinationType): void {
  const uses: Readonly<Record<string, readonly CombinationType[]>> = {
    'svd-rank': ['svd'],
    density: PRUNED,
    'majority-sign-method': ['ties', 'dare_ties'],
    seed: ['dare_linear', 'dare_ties'],
  };
  for (const [flag, types] of Object.entries(uses)) {
    if (args.has(flag) && !types.includes(type))
      throw new UsageError(`--${flag} goes with --combination-type ${types.join(', ')}.`);
  }
}
