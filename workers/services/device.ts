/** The GPU that this browser offers. */
import type { DeviceService } from '../../src/protocol/device';
import type { EngineHolder } from '../models/engine-holder';

export function deviceService(engine: EngineHolder): DeviceService {
  return { report: () => engine.report(), lost: () => engine.lost() };
}
