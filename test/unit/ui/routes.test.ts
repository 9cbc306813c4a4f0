import { describe, expect, test } from 'vitest';
import { comparePlace, pageTitle, parseRoute, placeOf, RUN_TABS, runPlace } from '../../../src/ui/routes';

describe('a place and its address', () => {
  test('name each other', () => {
    for (const page of ['workbench', 'models', 'base-chat', 'runs', 'settings'] as const) {
      expect(parseRoute(placeOf(page))).toEqual({ page });
    }
    for (const tab of RUN_TABS) {
      for (const id of ['3f0c', 'a/b', '%', 'ü?'])
        expect(parseRoute(runPlace(id, tab))).toEqual({ page: 'run', id, tab });
    }
  });

  test('two runs beside each other are in the query, also where one is still to be picked', () => {
    for (const ids of [[], ['a'], ['a/b&c', 'ü']]) {
      expect(parseRoute(comparePlace(ids))).toEqual({ page: 'compare', ids });
    }
    expect(parseRoute(comparePlace(['a', 'a']))).toEqual({ page: 'compare', ids: ['a'] });
  });

  test('anything else in the hash is the workbench where it is no address, and missing where it looks like one', () => {
    for (const hash of ['', '#', '#train', '#main']) expect(parseRoute(hash)).toEqual({ page: 'workbench' });
    for (const hash of ['#/nothing', '#/runs/x/nothing', '#/runs/x/chat/more', '#/models/x']) {
      expect(parseRoute(hash)).toEqual({ page: 'missing' });
    }
    expect(parseRoute('#/runs/')).toEqual({ page: 'runs' });
    expect(parseRoute('#/runs/%zz')).toEqual({ page: 'run', id: '%zz', tab: 'overview' });
  });

  test('say where one is in the title of the window', () => {
    expect(pageTitle({ page: 'workbench' })).toMatch(/^Graft: /);
    expect(pageTitle({ page: 'run', id: 'x', tab: 'chat' }, 'faq')).toBe('Chat · faq · Graft');
    expect(pageTitle({ page: 'run', id: 'x', tab: 'overview' }, 'faq')).toBe('faq · Graft');
  });
});
