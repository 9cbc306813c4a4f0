/** Where others find the model that a run trains from: its name may say something to Graft only. */
import type { RunConfig } from '../../core/config';
import type { FileSource } from '../../core/store';
import type { BaseModel } from '../../formats/base-model';
import { isCommit, isRepoId } from '../../hub/names';

/** A folder of the cache that Hugging Face's tools keep: it says which model of the Hub it holds. */
const CACHED = /models--([^/\\]+?)--([^/\\]+)[/\\]snapshots[/\\]([0-9a-f]{40})[/\\]?$/;

/** The model that comes with Graft. */
const BUILT_IN = 'starter';

/** `files` is what it was opened from, where that is known: a folder, or a GGUF file by its path. */
export function baseModelOf(
  { model_name_or_path: name, revision }: Pick<RunConfig, 'model_name_or_path' | 'revision'>,
  files?: Pick<FileSource, 'name'>,
): BaseModel {
  const [, owner, repo, commit] = CACHED.exec(name) ?? [];
  if (owner !== undefined && repo !== undefined && commit !== undefined)
    return { name: `${owner}/${repo}`, hub: { id: `${owner}/${repo}`, revision: commit } };
  const [ggufFile] = /[^/\\]+\.gguf$/i.exec(files?.name ?? name) ?? [];
  const opened = { name, ...(ggufFile !== undefined && { ggufFile }) };
  // A model of the Hub is pinned to its commit when it is opened, and nothing else is.
  if (isRepoId(name) && isCommit(revision)) return { ...opened, hub: { id: name, revision } };
  return { ...opened, whereabouts: whereaboutsOf(name) };
}

function whereaboutsOf(name: string): string {
  if (name === BUILT_IN) {
    return (
      `Its base model, ${BUILT_IN}, is not on the Hub: it comes with Graft, in the folder \`public/models/${BUILT_IN}\` of ` +
      'its source. Put the path of that folder below.'
    );
  }
  return (
    `Its base model was opened from files on a computer, under the name ${name}, so that its place on the Hub, where it ` +
    'has one, is not known. Put its id there, or the path of its folder, below.'
  );
}
