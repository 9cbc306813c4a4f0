import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import boundaries from 'eslint-plugin-boundaries';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import { noImportCircle } from './src/scripts/no-import-circle.mjs';

/**
 * ARCHITECTURE.md as data: what each layer may import beside itself. Tests may import anything.
 * `engine-face` is the part of the engine that others may see.
 */
const LAYERS = {
  core: { folder: 'src/core', imports: [] },
  engine: { folder: 'src/engine', imports: ['core'] },
  data: { folder: 'src/data', imports: ['core'] },
  eval: { folder: 'src/eval', imports: ['core'] },
  formats: { folder: 'src/formats', imports: ['core'] },
  connections: { folder: 'src/connections', imports: ['core'] },
  hub: { folder: 'src/hub', imports: ['core', 'connections'] },
  storage: { folder: 'src/storage', imports: ['core'] },
  recipes: { folder: 'src/recipes', imports: ['core', 'engine-face', 'data', 'eval', 'formats', 'hub', 'storage'] },
  cli: { folder: 'src/cli', imports: ['core', 'connections', 'formats', 'hub', 'storage', 'recipes'] },
  workers: { folder: 'workers', imports: ['core', 'connections', 'formats', 'hub', 'storage', 'recipes', 'protocol'] },
  ui: { folder: 'src/ui', imports: ['core', 'protocol'] },
  scripts: { folder: 'src/scripts', imports: [] },
};
const ENGINE_FACE = 'src/engine/{index,types}.ts';
const PROTOCOL = 'src/protocol/*.ts';

/** What comes from outside the project and belongs to some layers only. */
const OWNED_MODULES = [
  { regex: '^webgpu$', owners: ['cli'], message: 'Only the command line brings its own WebGPU.' },
  { regex: '^node:', owners: ['cli', 'scripts'], message: 'Only the command line and scripts run in Node.' },
  { regex: '^idb(/|$)', owners: ['storage'], message: 'IndexedDB belongs to storage.' },
  { regex: '^(svelte|uplot)(/|$)', owners: ['ui'], message: 'Only the page draws.' },
  { regex: '\\.wgsl(\\?|$)', owners: ['engine'], message: 'Shaders belong to the engine.' },
];
const DOM_GLOBALS = ['document', 'window', 'localStorage', 'sessionStorage'];

/** @param {string[]} categories */
const files = (...categories) => ({ file: { categories: { anyOf: categories } } });

const layerRules = [
  {
    files: ['src/**', 'workers/**'],
    plugins: { boundaries },
    settings: {
      'boundaries/files': [
        { category: 'engine-face', pattern: ENGINE_FACE },
        { category: 'protocol', pattern: PROTOCOL },
        { category: 'test', pattern: 'test/**' },
        ...Object.entries(LAYERS).map(([category, { folder }]) => ({ category, pattern: `${folder}/**` })),
      ],
      'boundaries/dependency-nodes': ['import', 'dynamic-import', 'export'],
      'import/resolver': { node: { extensions: ['.ts', '.svelte', '.mjs', '.js'] } },
    },
    rules: {
      'boundaries/dependencies': [
        'error',
        {
          default: 'disallow',
          policies: [
            { allow: { to: { module: { origin: ['external', 'core'] } } } },
            { from: files('protocol'), allow: { to: files('core', 'protocol') } },
            ...Object.entries(LAYERS).map(([layer, { imports }]) => ({
              from: files(layer),
              allow: { to: files(layer, ...imports) },
            })),
          ],
        },
      ],
    },
  },
  ...Object.entries(LAYERS).map(([layer, { folder }]) => ({
    files: [`${folder}/**`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: OWNED_MODULES.filter(({ owners }) => !owners.includes(layer)).map(({ regex, message }) => ({
            regex,
            message,
          })),
        },
      ],
      ...(layer === 'ui' ? {} : { 'no-restricted-globals': ['error', ...DOM_GLOBALS] }),
    },
  })),
];

export default defineConfig(
  { ignores: ['dist/', 'public/', 'test/results/'] },
  js.configs.recommended,
  ts.configs.recommendedTypeChecked,
  svelte.configs.recommended,
  {
    languageOptions: {
      globals: { ...globals.browser, ...globals.node },
      parserOptions: {
        projectService: { allowDefaultProject: ['eslint.config.js'] },
        tsconfigRootDir: import.meta.dirname,
        extraFileExtensions: ['.svelte'],
      },
    },
    rules: {
      'no-undef': 'off', // TypeScript knows better
      'no-warning-comments': 'error',
      '@typescript-eslint/unbound-method': 'off', // contexts of plain functions are taken apart everywhere
      '@typescript-eslint/require-await': 'off', // an implementation of an async interface may have nothing to wait for
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
    },
  },
  { files: ['**/*.svelte', '**/*.svelte.ts'], languageOptions: { parserOptions: { parser: ts.parser } } },
  {
    files: ['test/**/*.ts'], // golden files are JSON of many shapes
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
    },
  },
  { files: ['**/*.{js,mjs}'], extends: [ts.configs.disableTypeChecked] }, // tsc checks them
  { files: ['src/**', 'workers/**'], rules: { 'max-lines': ['error', 500] } },
  { files: ['src/engine/**'], rules: { 'max-lines': ['error', 300] } },
  { files: ['src/**', 'workers/**'], ignores: ['src/cli/**', 'src/scripts/**'], rules: { 'no-console': 'error' } },
  {
    files: ['src/**', 'workers/**'],
    plugins: { graft: { rules: { 'no-import-circle': noImportCircle } } },
    rules: { 'graft/no-import-circle': 'error' },
  },
  layerRules,
);
