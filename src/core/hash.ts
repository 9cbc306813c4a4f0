/** Hashes of files and of models, as lower-case hexadecimal. */

export async function sha256(bytes: Uint8Array): Promise<string> {
  return hexDigest('SHA-256', bytes);
}

/** For Git's names of files, which are no protection against tampering. */
export async function sha1(bytes: Uint8Array): Promise<string> {
  return hexDigest('SHA-1', bytes);
}

async function hexDigest(algorithm: string, bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest(algorithm, bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
