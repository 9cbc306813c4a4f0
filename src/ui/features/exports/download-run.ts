/** The files of a run on their way to the visitor's disk. */
import type { RunRecord } from '../../../core/library';
import { download, downloadAsZip, fileName } from '../../client/files';
import type { Workers } from '../../client/workers';

/** Downloads one file of a run by its name, or all of them as a zip. */
export async function downloadRun(workers: Workers, run: RunRecord, name?: string): Promise<void> {
  const files = await workers.gpu.call((worker) => worker.exports.run(run.id, name === undefined ? undefined : [name]));
  const [single] = files;
  if (name !== undefined && single) download(single.blob, single.name);
  else await downloadAsZip(files, fileName(run.name));
}
