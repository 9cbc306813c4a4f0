import type { Action } from 'svelte/action';

/** Hands over what was chosen, and forgets it, so that the same file can be chosen again after it was changed. */
export const fileInput: Action<HTMLInputElement, (files: FileList) => void> = (input, take) => {
  const listener = () => {
    if (input.files && input.files.length > 0) take(input.files);
    input.value = '';
  };
  input.addEventListener('change', listener);
  return { destroy: () => input.removeEventListener('change', listener) };
};
