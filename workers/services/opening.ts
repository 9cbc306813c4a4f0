/** Opening a model: everything but its weights. */
import { BYTES_PER_ELEMENT, elementCount } from '../../src/core/dtypes';
import { EMBEDDING, HEAD, parameters } from '../../src/core/spec';
import type { HubModel } from '../../src/formats/model';
import type { ModelRef, ModelReport, OpeningJobs } from '../../src/protocol/models';
import type { JobHandlers } from '../jobs/job-host';
import { orCancelled } from '../jobs/jobs';
import type { OpenModels } from '../models/open-models';
import type { Pulse } from '../jobs/pulse';

/** Milliseconds that a large tokenizer may take on a slow computer: it is parsed and laid out in one go. */
const OPENING_MS = 6000;

export function openingJobs(models: OpenModels, pulse: Pulse): JobHandlers<OpeningJobs> {
  return {
    'models.open': async ({ ref: asked }, { signal, report }) => {
      const opening = pulse.expect(OPENING_MS);
      const open = async () => {
        const ref = await models.resolve(asked, signal);
        const model = await models.open(ref, (message) => report({ kind: 'notice', message }), signal);
        return modelReport(model, ref);
      };
      return orCancelled(open(), signal).finally(() => opening.end());
    },
  };
}

/** Said when a model opens: later, it would look like a fault of the data. */
const WITHOUT_TOKENIZER =
  "The model has no tokenizer.json: it trains on rows of input_ids alone, and can't chat. For rows of text, put its " +
  'tokenizer.json into the folder and open it again.';

function modelReport(model: HubModel, ref: ModelRef): ModelReport {
  const { spec, weightDType, weightBytes } = model;
  const weights = parameters(spec).map(({ name, shape }) => ({ name, elements: elementCount(shape) }));
  const whole = weights.filter(({ name }) => name !== EMBEDDING && name !== HEAD);
  const largest = whole.reduce((most, weight) => (weight.elements > most.elements ? weight : most));
  return {
    ref,
    name: ref.name,
    family: spec.family,
    parameters: weights.reduce((sum, { elements }) => sum + elements, 0),
    layers: spec.numLayers,
    hiddenSize: spec.hiddenSize,
    vocabSize: spec.vocabSize,
    maxPositions: spec.maxPositions,
    weightDType,
    weightBytes,
    largestWeight: { name: largest.name, bytes: largest.elements * BYTES_PER_ELEMENT[weightDType] },
    templateSource: model.template?.source ?? null,
    notices: [...model.notices, ...(model.template ? [] : [WITHOUT_TOKENIZER])],
  };
}
