/** The GPU that this browser offers. */
import type { JobKind } from './jobs';

export interface DeviceReport {
  vendor: string;
  architecture: string;
  /** Its name; empty where the browser doesn't say it. */
  description: string;
  /** True where the "GPU" is a program on the CPU: everything works, slower. */
  software: boolean;
  /** Largest single buffer and largest buffer that a shader may see, in bytes. */
  maxBufferBytes: number;
  maxBindingBytes: number;
}

export type DeviceJobs = {
  /** Flops a second of products on the GPU, measured in a moment. */
  'device.rate': JobKind<null, number>;
};

export interface DeviceService {
  /** @throws `no-webgpu` with what to do about it. */
  report(): Promise<DeviceReport>;
  /** Resolves with the reason when the GPU device goes away; the next job asks for a new one. */
  lost(): Promise<string>;
}
