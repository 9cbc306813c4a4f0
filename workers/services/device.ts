/** The GPU that this browser offers. */
import type { DeviceJobs, DeviceService } from '../../src/protocol/device';
import type { JobHandlers } from '../jobs/job-host';
import type { EngineHolder } from '../models/engine-holder';

export function deviceService(engine: EngineHolder): DeviceService {
  return { report: () => engine.report(), lost: () => engine.lost() };
}

export function deviceJobs(engine: EngineHolder): JobHandlers<DeviceJobs> {
  return { 'device.rate': async () => (await engine.open()).measureRate() };
}
