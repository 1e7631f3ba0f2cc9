/** Virtual time: what is to happen, in order. Events of one time happen in the order in which they were scheduled. */
export class Scheduler {
  #nowMs = 0;
  #order = 0;
  #live = 0;
  /** A binary heap. */
  readonly #heap: Scheduled[] = [];

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that wait, without those that were cancelled. */
  get size(): number {
    return this.#live;
  }

  /** Lets `run` happen in `delayMs`. Returns what cancels it. */
  in(delayMs: number, run: () => void): Scheduled {
    return this.at(this.#nowMs + delayMs, run);
  }

  at(atMs: number, run: () => void): Scheduled {
    const event: Scheduled = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, run };
    this.#live++;
    this.#up(event);
    return event;
  }

  cancel(event: Scheduled): void {
    if (event.run === undefined) return;
    event.run = undefined;
    this.#live--;
  }

  /** Makes the next event happen, unless it is later than `untilMs`; then only time passes. False when there was none. */
  next(untilMs: number): boolean {
    for (let first = this.#heap[0]; first !== undefined && first.atMs <= untilMs; first = this.#heap[0]) {
      this.#removeFirst();
      const { run } = first;
      if (run === undefined) continue;
      first.run = undefined;
      this.#live--;
      this.#nowMs = first.atMs;
      run();
      return true;
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
    return false;
  }

  #up(event: Scheduled): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const above = (at - 1) >>> 1;
      const parent = heap[above];
      if (parent === undefined || isBefore(parent, event)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = event;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      const left = heap[below];
      if (left === undefined) break;
      let child = left;
      const right = heap[below + 1];
      if (right !== undefined && isBefore(right, left)) {
        below++;
        child = right;
      }
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
  }
}

export interface Scheduled {
  readonly atMs: number;
  readonly order: number;
  /** Undefined once it has happened or was cancelled. */
  run: (() => void) | undefined;
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
