import { expect, test } from 'vitest';
import { findGaps, type Abilities } from '../../../src/ui/features/device/browser-gaps';

const folders = { prototype: { webkitdirectory: false } };
const chromium: Abilities = {
  isSecureContext: true,
  showDirectoryPicker: () => undefined,
  showSaveFilePicker: () => undefined,
  navigator: { wakeLock: {}, serviceWorker: {} },
  HTMLInputElement: folders,
};

test('a browser that has everything has no gap', () => {
  expect(findGaps(chromium)).toEqual([]);
});

test('each gap says which browsers have what is missing', () => {
  const { showSaveFilePicker } = chromium;
  const firefox = { ...chromium, showDirectoryPicker: undefined, showSaveFilePicker: undefined };
  expect(findGaps(firefox)).toEqual([
    expect.stringMatching(/upload: nothing is sent\. Chrome and Edge/),
    expect.stringMatching(/disk twice.* Chrome and Edge/),
  ]);
  const phone = { ...firefox, showSaveFilePicker, HTMLInputElement: { prototype: {} } };
  expect(findGaps(phone)).toEqual([expect.stringMatching(/can't open a folder.*desktop/)]);
  expect(findGaps({ ...chromium, navigator: {} })).toEqual([
    expect.stringMatching(/screen.*Firefox 126 and Safari 16\.4/),
    expect.stringMatching(/no connection.*Firefox and Safari/),
  ]);
});

test('what an insecure address keeps back is not said to be the browser', () => {
  expect(findGaps({ ...chromium, isSecureContext: false, navigator: {} })).toEqual([]);
});
