/** The buffers alive on a device, by what they hold. */
import { emptyBytes, memoryPlan } from '../compile/plan';
import type { MemoryBytes, MemoryPlan } from '../types';

/** Every buffer of a session goes through its ledger, so that live bytes can be compared with the plan. */
export class Ledger {
  private readonly alive = new Map<GPUBuffer, { bytes: number; kind: keyof MemoryBytes }>();

  constructor(private readonly device: GPUDevice) {}

  create(kind: keyof MemoryBytes, bytes: number, usage: GPUBufferUsageFlags, label: string): GPUBuffer {
    const buffer = this.device.createBuffer({ size: bytes, usage, label });
    this.alive.set(buffer, { bytes, kind });
    return buffer;
  }

  destroy(buffer: GPUBuffer): void {
    buffer.destroy();
    this.alive.delete(buffer);
  }

  destroyAll(): void {
    for (const buffer of [...this.alive.keys()]) this.destroy(buffer);
  }

  liveBytes(): MemoryPlan {
    const bytes = emptyBytes();
    for (const entry of this.alive.values()) bytes[entry.kind] += entry.bytes;
    return memoryPlan(bytes);
  }
}
