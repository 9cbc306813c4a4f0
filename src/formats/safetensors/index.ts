/** safetensors: a strict streaming reader and a writer that matches the reference implementation byte for byte. */
export { weightDType, type SafetensorsDType } from './dtypes';
export { readHeader, type SafetensorsHeader, type TensorEntry } from './header';
export { MadeFile, type MadeTensor } from './made';
export { asFloat32, readAll, readTensor, readTensorBytes, readWeights, stateEntry } from './read';
export { streamEntries, type WeightsRequest } from './stream';
export { inFileOrder, safetensorsHeader, tensorBytes, writeSafetensors, type TensorShape } from './write';
