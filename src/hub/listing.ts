/** What a Hub answers about models, checked field by field: a mirror may send anything. */
import * as v from 'valibot';
import { badAnswer, type Subject } from '../connections/errors';
import { quote } from '../core/format';
import { isRepoId } from './names';

/** The owner's questions before a model may be read: none, answered at once, or approved by hand. */
export type Gate = false | 'auto' | 'manual';

export interface HubFile {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Hex; known for files in large-file storage, as weights are. */
  readonly sha256?: string;
  /** Git's name for the other files' bytes: SHA-1 (hex) over `blob SIZE\0` and the bytes. */
  readonly blobId?: string;
}

/** What is known of a model before any of its files is read. */
export interface HubSummary {
  /** `org/name`, as it is called now: an old name leads to the new one. */
  readonly id: string;
  readonly gated: Gate;
  readonly private: boolean;
  readonly downloads: number;
  readonly likes: number;
  /** From its config.json; undefined and empty where the Hub doesn't say. */
  readonly modelType: string | undefined;
  readonly architectures: readonly string[];
  /** Counted by the Hub over the safetensors files; undefined where there are none. */
  readonly parameters: number | undefined;
  readonly licence: string | undefined;
}

/** A model at one commit. */
export interface HubRepo extends HubSummary {
  /** Branch, tag or commit that was asked for. */
  readonly revision: string;
  readonly commit: string;
  /** The files of the top folder by name. */
  readonly files: ReadonlyMap<string, HubFile>;
}

const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const hex = (digits: number) =>
  v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${digits}}$`), `${digits} hex digits`));
/** Fields that Graft can do without: what isn't as expected counts as absent. */
const hint = <T>(schema: v.GenericSchema<unknown, T>) => v.fallback(v.optional(schema), undefined);

const Summary = v.object({
  id: v.string(),
  gated: v.fallback(v.union([v.literal(false), v.picklist(['auto', 'manual'])]), false),
  private: v.fallback(v.boolean(), false),
  downloads: v.fallback(count, 0),
  likes: v.fallback(count, 0),
  config: hint(v.object({ model_type: hint(v.string()), architectures: hint(v.array(v.string())) })),
  safetensors: hint(v.object({ total: count })),
  tags: hint(v.array(v.string())),
});

const File = v.object({
  rfilename: v.string(),
  size: v.optional(count),
  blobId: hint(hex(40)),
  lfs: v.nullish(v.object({ sha256: hex(64), size: v.optional(count) })),
});

const Repo = v.object({
  ...Summary.entries,
  id: v.pipe(v.string(), v.check(isRepoId, 'a name such as org/name')),
  sha: hex(40),
  siblings: v.array(File),
});

/** Models without an owner in their name, of the Hub's first days, are left out. @throws `bad-file` for no Hub's answer */
export function readSearch(json: unknown, subject: Subject): HubSummary[] {
  return parseAnswer(v.array(Summary), json, subject)
    .filter(({ id }) => isRepoId(id))
    .map(summary);
}

/** @throws `bad-file` for what no Hub would answer */
export function readRepo(json: unknown, revision: string, subject: Subject): HubRepo {
  if (Array.isArray(json)) throw badAnswer(subject, 'the whole should be an object, and is a list');
  const repo = parseAnswer(Repo, json, subject);
  const files = new Map<string, HubFile>();
  for (const { rfilename: name, lfs, size: listed, blobId } of repo.siblings) {
    if (name.includes('/')) continue;
    if (!isFileName(name)) throw badAnswer(subject, `${quote(subject.withoutSecrets(name))} is no name of a file`);
    const size = listed ?? lfs?.size;
    if (size === undefined) throw badAnswer(subject, `no size is given for ${name}`);
    if (lfs?.size !== undefined && lfs.size !== size) throw badAnswer(subject, `two sizes are given for ${name}`);
    files.set(name, { name, size, ...(lfs ? { sha256: lfs.sha256 } : blobId !== undefined && { blobId }) });
  }
  return { ...summary(repo), revision, commit: repo.sha, files };
}

/** A name that a URL's path can carry, and a message can show. */
function isFileName(name: string): boolean {
  return (
    name !== '' && name !== '.' && name !== '..' && name.length <= 255 && !/[\p{Cc}\p{Cs}\u2028\u2029]/u.test(name)
  );
}

function summary({ config, safetensors, tags, ...model }: v.InferOutput<typeof Summary>): HubSummary {
  return {
    id: model.id,
    gated: model.gated,
    private: model.private,
    downloads: model.downloads,
    likes: model.likes,
    modelType: config?.model_type,
    architectures: config?.architectures ?? [],
    parameters: safetensors?.total,
    licence: tags?.find((tag) => tag.startsWith('license:'))?.slice('license:'.length),
  };
}

/** An answer of the form that it should have. @throws `bad-file` with what is wrong in it */
export function parseAnswer<T>(schema: v.GenericSchema<unknown, T>, json: unknown, subject: Subject): T {
  const { success, output, issues } = v.safeParse(schema, json, { abortEarly: true });
  if (success) return output;
  const [issue] = issues;
  const where = v.getDotPath(issue) ?? 'the whole';
  if (issue.received === 'undefined') throw badAnswer(subject, `${where} is missing`);
  const wanted = issue.type === 'regex' || issue.type === 'check' ? issue.message : issue.expected;
  throw badAnswer(subject, `${where} should be ${wanted ?? 'something else'}`);
}
