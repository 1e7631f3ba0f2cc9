import type { CompletedOperation, UnknownOperation } from "./history.ts";

/** The position before the first event. */
const START = 0;

/**
 * The calls and returns of the completed operations that have no place yet, in the order of time, as a doubly linked list
 * over arrays. An event's position is its number in the whole history; it never changes. As in Wing and Gong's search,
 * an operation may come next if and only if its call is before the first return of the list.
 */
export class Timeline {
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** By position: the operation called here; of a return and of the end, -1. */
  private readonly calledAt: Int32Array;
  private readonly callOf: Int32Array;
  private readonly returnOf: Int32Array;
  /** By unknown operation: the first position after its call. */
  private readonly unknownFrom: Int32Array;

  constructor(
    completed: readonly CompletedOperation<unknown, unknown>[],
    unknown: readonly UnknownOperation<unknown>[],
  ) {
    const end = 2 * completed.length + 1;
    this.next = Int32Array.from({ length: end + 1 }, (_, i) => i + 1);
    this.previous = Int32Array.from({ length: end + 1 }, (_, i) => i - 1);
    this.calledAt = new Int32Array(end + 1).fill(-1);
    this.callOf = new Int32Array(completed.length);
    this.returnOf = new Int32Array(completed.length);
    this.unknownFrom = new Int32Array(unknown.length);
    let position = START + 1;
    for (const event of eventsInOrder(completed, unknown)) {
      if (event.kind === "unknown") {
        this.unknownFrom[event.operation] = position;
        continue;
      }
      if (event.kind === "call") this.calledAt[position] = event.operation;
      (event.kind === "call" ? this.callOf : this.returnOf)[event.operation] = position;
      position++;
    }
  }

  get first(): number {
    return this.after(START);
  }

  after(position: number): number {
    return this.next[position] as number;
  }

  /** The completed operation that is called at this position, or -1: none from here on may come next. */
  calledHere(position: number): number {
    return this.calledAt[position] as number;
  }

  /** The operations that may come next. */
  candidates(): number[] {
    const operations: number[] = [];
    for (let at = this.first; this.calledHere(at) >= 0; at = this.after(at)) operations.push(this.calledHere(at));
    return operations;
  }

  /** Of an unknown operation: whether it can't take effect yet while the return at this position is to come. */
  isCalledAfter(position: number, unknownOperation: number): boolean {
    return (this.unknownFrom[unknownOperation] as number) > position;
  }

  /** Takes the operation out. Returns the position to go on from. */
  lift(operation: number): number {
    this.unlink(this.returnOf[operation] as number);
    const call = this.callOf[operation] as number;
    this.unlink(call);
    return this.after(call);
  }

  /** Undoes the latest `lift`. The links of the events taken out still say where they were. */
  putBack(operation: number): void {
    this.link(this.callOf[operation] as number);
    this.link(this.returnOf[operation] as number);
  }

  private unlink(position: number): void {
    const next = this.next[position] as number;
    const previous = this.previous[position] as number;
    this.next[previous] = next;
    this.previous[next] = previous;
  }

  private link(position: number): void {
    this.next[this.previous[position] as number] = position;
    this.previous[this.next[position] as number] = position;
  }
}

interface Event {
  readonly kind: "call" | "return" | "unknown";
  readonly at: number;
  readonly operation: number;
}

/** Calls come before returns of the same time, which makes these operations concurrent. */
function eventsInOrder(
  completed: readonly CompletedOperation<unknown, unknown>[],
  unknown: readonly UnknownOperation<unknown>[],
): Event[] {
  const events: Event[] = [];
  completed.forEach((operation, i) => {
    events.push({ kind: "call", at: operation.call, operation: i });
    events.push({ kind: "return", at: operation.return, operation: i });
  });
  unknown.forEach((operation, i) => {
    events.push({ kind: "unknown", at: operation.call, operation: i });
  });
  return events.sort((a, b) => a.at - b.at || Number(a.kind === "return") - Number(b.kind === "return"));
}
