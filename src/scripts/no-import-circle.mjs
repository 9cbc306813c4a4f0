/**
 * A lint rule: no file of the project imports itself by way of others, imports of types included. It reads all files once,
 * for a circle can't be seen from one of them.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';

const FOLDERS = ['src', 'workers'];
const ENDINGS = ['', '.ts', '.svelte.ts', '/index.ts', '.mjs'];

/** @type {Map<string, string[]> | undefined} the files that each file imports */
let graph;

/** @param {string} root @returns {Map<string, string[]>} */
function readGraph(root) {
  const paths = FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(root, folder, name)),
  ).filter((path) => /\.(ts|svelte|mjs)$/.test(path));
  return new Map(paths.map((path) => [path, importsOf(path, readFileSync(path, 'utf8'))]));
}

/** @param {string} path @param {string} text @returns {string[]} */
function importsOf(path, text) {
  // Of a component the scripts alone are TypeScript.
  const code = path.endsWith('.svelte') ? [...text.matchAll(/<script[^>]*>([^]*?)<\/script>/g)].join('\n') : text;
  return ts.preProcessFile(code, true, true).importedFiles.flatMap(({ fileName }) => {
    if (!fileName.startsWith('.')) return [];
    const target = resolve(dirname(path), fileName.replace(/\?.*$/, ''));
    const found = ENDINGS.map((ending) => target + ending).find((file) => /\.\w+$/.test(file) && existsSync(file));
    return found ? [found] : [];
  });
}

/**
 * The shortest way from a file back to itself; undefined where there is none.
 * @param {Map<string, string[]>} imports @param {string} start @returns {string[] | undefined}
 */
export function findCircle(imports, start) {
  /** @type {string[][]} */
  let ways = [[start]];
  const seen = new Set();
  while (ways.length > 0) {
    const longer = [];
    for (const way of ways) {
      for (const next of imports.get(/** @type {string} */ (way.at(-1))) ?? []) {
        if (next === start) return [...way, start];
        if (seen.has(next)) continue;
        seen.add(next);
        longer.push([...way, next]);
      }
    }
    ways = longer;
  }
  return undefined;
}

/** @type {import('eslint').Rule.RuleModule} */
export const noImportCircle = {
  meta: { type: 'problem', schema: [], messages: { circle: 'This file imports itself: {{way}}.' } },
  create(context) {
    return {
      Program(node) {
        graph ??= readGraph(context.cwd);
        // What an editor holds may be newer than the disk.
        graph.set(context.filename, importsOf(context.filename, context.sourceCode.text));
        const circle = findCircle(graph, context.filename);
        if (!circle) return;
        const way = circle.map((file) => file.slice(context.cwd.length + 1)).join(' → ');
        context.report({ node, messageId: 'circle', data: { way } });
      },
    };
  },
};
