/** The model that was trained from, and where others find it. */
export interface BaseModel {
  /** As the run names it. */
  readonly name: string;
  /** Its place on the Hub, where it is there. */
  readonly hub?: {
    readonly id: string;
    /** A commit. */
    readonly revision?: string;
  };
  /** The file that it was opened from, where it is a GGUF file. */
  readonly ggufFile?: string;
  /** Where else it is to be had, as a sentence: where it isn't on the Hub, its name says nothing to other software. */
  readonly whereabouts?: string;
}
