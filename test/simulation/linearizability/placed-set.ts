/**
 * The operations that have a place: completed ones, and after them, from a word of their own on, unknown ones. The hash
 * covers the completed ones only, so that sets that differ in the unknown ones meet in one bucket of `Visited`.
 */
export class PlacedSet {
  readonly words: Int32Array;
  readonly completedWords: number;
  completedHash = 0;

  constructor(completed: number, unknown: number) {
    this.completedWords = (completed + 31) >>> 5;
    this.words = new Int32Array(this.completedWords + ((unknown + 31) >>> 5));
  }

  toggleCompleted(operation: number): void {
    this.toggle(operation);
    this.completedHash ^= mix(operation);
  }

  toggleUnknown(operation: number): void {
    this.toggle((this.completedWords << 5) + operation);
  }

  hasUnknown(operation: number): boolean {
    return (((this.words[this.completedWords + (operation >>> 5)] as number) >>> (operation & 31)) & 1) === 1;
  }

  private toggle(bit: number): void {
    (this.words[bit >>> 5] as number) ^= 1 << (bit & 31);
  }
}

interface Configuration {
  readonly words: Int32Array;
  readonly stateId: number;
  readonly sameBucket: Configuration | undefined;
}

/** The configurations (operations placed, state reached) from which no order was found: Lowe's memory of the search. */
export class Visited {
  /** How many configurations were compared with others: a bucket may grow long. */
  compared = 0;
  private readonly buckets = new Map<number, Configuration>();

  /**
   * Whether there is a point in going on from here, which there is not if it led nowhere with fewer unknown operations
   * used up: those left may all be left out.
   */
  add(placed: PlacedSet, stateId: number): boolean {
    const hash = (placed.completedHash ^ mix(~stateId)) >> 1;
    const bucket = this.buckets.get(hash);
    for (let other = bucket; other !== undefined; other = other.sameBucket) {
      this.compared++;
      if (other.stateId === stateId && isNoBetter(placed, other.words)) return false;
    }
    this.buckets.set(hash, { words: placed.words.slice(), stateId, sameBucket: bucket });
    return true;
  }
}

function isNoBetter({ words, completedWords }: PlacedSet, other: Int32Array): boolean {
  for (let i = 0; i < completedWords; i++) if (words[i] !== other[i]) return false;
  for (let i = completedWords; i < words.length; i++)
    if (((other[i] as number) & ~(words[i] as number)) !== 0) return false;
  return true;
}

/** Spreads small integers over 32 bits. */
function mix(value: number): number {
  let mixed = Math.imul(value + 1, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b);
  return Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) ^ (mixed >>> 16);
}
