/** A change of the source that undoes one rule, and that must not go unnoticed. */
export interface Mutant {
  /** What becomes of the program without the rule. */
  readonly name: string;
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** The test files that notice it. Whether the simulation does, too, changes with its seeds: `--matrix` tells. */
  readonly caughtBy: readonly string[];
}

/** Where `find` stands. Fails when it isn't there exactly once: then the rule has moved, and the list must follow. */
export function mutated(source: string, { name, file, find, replace }: Mutant): string {
  const [before, after, ...more] = source.split(find);
  if (before === undefined || after === undefined) throw new Error(`${name}: its text is not in ${file}:\n${find}`);
  if (more.length > 0) throw new Error(`${name}: its text is in ${file} ${more.length + 1} times:\n${find}`);
  return before + replace + after;
}
