/** Names that a part of a template reads or assigns. */

/** Whether `name` is read anywhere in `node`, a tree of ast.ts. */
export function readsName(node: unknown, name: string): boolean {
  return someNode(node, (kind, found) => kind === 'name' && found === name);
}

/** Whether `name` is assigned anywhere in `node`. */
export function storesName(node: unknown, name: string): boolean {
  return someNode(node, (kind, found) => kind === 'store' && found === name);
}

function someNode(node: unknown, matches: (kind: unknown, name: unknown) => boolean): boolean {
  if (typeof node !== 'object' || node === null) return false;
  if (Array.isArray(node)) return node.some((item) => someNode(item, matches));
  const { kind, name } = node as { kind?: unknown; name?: unknown };
  return matches(kind, name) || Object.values(node).some((value) => someNode(value, matches));
}
