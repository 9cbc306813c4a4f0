declare module 'safetensors' {
  export class SafeTensor {
    constructor(bytes: Uint8Array);
    getTensor(name: string): Uint8Array;
  }
}
