/**
 * What must not end a run by accident: leaving the page, a screen that goes dark, a file that is dropped beside its place;
 * and what is pasted beside its place.
 */

/** While a run trains: the browser asks before it leaves the page, and the screen stays awake where it may. */
export function guardRun(): () => void {
  const ask = (event: BeforeUnloadEvent) => event.preventDefault();
  let lock: WakeLockSentinel | undefined;
  let isOver = false;
  const stayAwake = async () => {
    if (document.visibilityState !== 'visible') return; // the lock is let go with the page, and taken again
    const taken = await navigator.wakeLock?.request('screen').catch(() => undefined); // a low battery refuses it
    if (isOver) void taken?.release();
    else lock = taken;
  };
  const onVisible = () => void stayAwake();
  addEventListener('beforeunload', ask);
  document.addEventListener('visibilitychange', onVisible);
  void stayAwake();
  return () => {
    isOver = true;
    removeEventListener('beforeunload', ask);
    document.removeEventListener('visibilitychange', onVisible);
    void lock?.release();
  };
}

/** A file that is dropped anywhere is taken, where the browser would leave the page for it. */
export function catchDrops(take: (transfer: DataTransfer) => void): () => void {
  const holdsFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') === true;
  const onOver = (event: DragEvent) => {
    if (holdsFiles(event)) event.preventDefault();
  };
  const onDrop = (event: DragEvent) => {
    if (!holdsFiles(event) || event.defaultPrevented || !event.dataTransfer) return;
    event.preventDefault();
    take(event.dataTransfer);
  };
  addEventListener('dragover', onOver);
  addEventListener('drop', onDrop);
  return () => {
    removeEventListener('dragover', onOver);
    removeEventListener('drop', onDrop);
  };
}

/** Types of inputs that take no text, and nothing that is pasted. */
const WITHOUT_TEXT = ['button', 'checkbox', 'color', 'file', 'image', 'radio', 'range', 'reset', 'submit'];

const TEXT_FIELDS = `input:not(${WITHOUT_TEXT.map((type) => `[type=${type}]`).join()}), textarea, [contenteditable]`;

/** What is pasted beside every field for text, or is a file, is taken, where the browser would drop it. */
export function catchPastes(take: (transfer: DataTransfer) => void): () => void {
  const onPaste = (event: ClipboardEvent) => {
    const { target, clipboardData, defaultPrevented } = event;
    if (defaultPrevented || !clipboardData) return;
    const isField = target instanceof Element && target.closest(TEXT_FIELDS) !== null;
    if (isField && clipboardData.types.includes('text/plain')) return;
    event.preventDefault(); // or it would go into a field that it leads to as well
    take(clipboardData);
  };
  document.addEventListener('paste', onPaste);
  return () => document.removeEventListener('paste', onPaste);
}
