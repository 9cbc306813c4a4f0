/** Whether the browser keeps its storage even when the disk runs full. */

/**
 * Asks for it where that can be asked (a page), and tells how it stands elsewhere (a worker). Undefined where the
 * browser doesn't say. A browser may refuse, or ask the user.
 */
export async function persistStorage(): Promise<boolean | undefined> {
  const storage = (navigator as Partial<Navigator>).storage as Partial<StorageManager> | undefined;
  try {
    return (await storage?.persist?.()) ?? (await storage?.persisted?.());
  } catch {
    return undefined;
  }
}
