import { assert } from "../../../src/assert.ts";
import type { DeadEnd } from "./explain.ts";
import type { CompletedOperation, History, UnknownOperation } from "./history.ts";
import type { Model, Shortcuts } from "./model.ts";
import { PlacedSet, Visited } from "./placed-set.ts";
import { findTwins, isDominated, type Run, runHas, runOperations } from "./runs.ts";
import { Timeline } from "./timeline.ts";

export type SearchResult<State, Input, Output> =
  | { readonly kind: "found" }
  | { readonly kind: "impossible"; readonly deepest: DeadEnd<State, Input, Output> }
  | { readonly kind: "gaveUp" };

/** A place at which several operations may come next, and how far they were tried. */
interface Choice<State> {
  /** How many completed operations were placed before. */
  readonly depth: number;
  /** What may take effect before the next completed operation: nothing first, then as few operations as possible. */
  readonly runs: [Run<State>, ...Run<State>[]];
  current: number;
  cursor: number;
}

/**
 * Looks for an order of one part's operations that the model allows and that keeps to real time: depth first, from the
 * start on, with a memory of the configurations that led nowhere (Wing and Gong 1993, Lowe 2017).
 */
export class Search<State, Input, Output> {
  private steps = 0;
  private readonly model: Model<State, Input, Output>;
  private readonly completed: readonly CompletedOperation<Input, Output>[];
  private readonly unknown: readonly UnknownOperation<Input>[];
  private readonly shortcuts: Shortcuts<State, Input> | undefined;
  private readonly timeline: Timeline;
  private readonly placed: PlacedSet;
  private readonly visited = new Visited();
  private readonly stateIds = new Map<string | number, number>();
  private readonly path: { readonly operation: number; readonly run: Run<State> | undefined }[] = [];
  private readonly choices: Choice<State>[] = [];
  private readonly readOnly: readonly boolean[];
  /** Of each unknown operation: the one of the same effect that was called before it, or undefined. */
  private readonly twins: readonly (number | undefined)[];
  private deepest: DeadEnd<State, Input, Output> | undefined;

  constructor(model: Model<State, Input, Output>, part: History<Input, Output>) {
    this.model = model;
    this.completed = part.filter((operation) => operation.return !== undefined);
    this.unknown = part
      .filter((operation) => operation.return === undefined)
      .filter(({ input }) => !model.readOnly?.(input, undefined))
      .sort((a, b) => a.call - b.call);
    this.shortcuts = model.shortcuts?.(part);
    this.timeline = new Timeline(this.completed, this.unknown);
    this.placed = new PlacedSet(this.completed.length, this.unknown.length);
    this.readOnly = this.completed.map(({ input, output }) => model.readOnly?.(input, output) ?? false);
    this.twins = findTwins(this.unknown, this.shortcuts);
  }

  /** Steps of the model and comparisons of configurations so far. */
  get work(): number {
    return this.steps + this.visited.compared;
  }

  run(maxWork: number): SearchResult<State, Input, Output> {
    let next: State | undefined = this.model.init();
    for (;;) {
      if (next !== undefined && this.goOnFrom(next)) return { kind: "found" };
      const choice = this.choices.at(-1);
      if (choice === undefined) break;
      if (this.work > maxWork) return { kind: "gaveUp" };
      this.backTo(choice.depth);
      next = this.placeNext(choice);
      if (next === undefined) {
        this.noteDeadEnd(choice);
        this.choices.pop();
      }
    }
    assert(this.deepest !== undefined, "a search that finds nothing has met a dead end");
    return { kind: "impossible", deepest: this.deepest };
  }

  /** Whether all operations have a place. If not, and if this place is a new one, it is the next to be tried. */
  private goOnFrom(state: State): boolean {
    this.placeReads(state);
    const { first } = this.timeline;
    if (this.path.length === this.completed.length) return true;
    const stateId = this.idOf(state);
    if (this.visited.add(this.placed, stateId)) {
      const nothing: Run<State> = { state, stateId, last: undefined };
      this.choices.push({ depth: this.path.length, runs: [nothing], current: 0, cursor: first });
    }
    return false;
  }

  /** A read that is allowed here can't do better later: in any order that has it later, it can be moved to here. */
  private placeReads(state: State): void {
    let cursor = this.timeline.first;
    for (;;) {
      const operation = this.timeline.calledHere(cursor);
      if (operation < 0) return;
      if (this.readOnly[operation] && this.stepCompleted(state, operation) !== undefined) {
        cursor = this.place(operation, undefined);
      } else {
        cursor = this.timeline.after(cursor);
      }
    }
  }

  /** Places the next operation that can follow here, with the unknown ones that it needs. Returns the new state. */
  private placeNext(choice: Choice<State>): State | undefined {
    for (; ; choice.current++) {
      const run = choice.runs[choice.current];
      if (run === undefined) return undefined;
      for (;;) {
        const operation = this.timeline.calledHere(choice.cursor);
        if (operation < 0) break;
        choice.cursor = this.timeline.after(choice.cursor);
        const state = this.stepCompleted(run.state, operation);
        if (state === undefined) continue;
        this.place(operation, run);
        return state;
      }
      this.extend(choice.runs, run, choice.cursor);
      choice.cursor = this.timeline.first;
    }
  }

  /** Adds the runs that are one operation longer than this one, where that leads to a state that is worth it. */
  private extend(runs: Run<State>[], run: Run<State>, firstReturn: number): void {
    this.unknown.forEach(({ input }, operation) => {
      if (this.timeline.isCalledAfter(firstReturn, operation) || this.isUsed(run, operation)) return;
      const twin = this.twins[operation];
      if (twin !== undefined && !this.isUsed(run, twin)) return;
      this.steps++;
      const state = this.model.step(run.state, input, undefined);
      if (state === undefined || this.shortcuts?.matters(run.state, state) === false) return;
      const longer = { state, stateId: this.idOf(state), last: { operation, before: run } };
      if (!isDominated(longer, runs)) runs.push(longer);
    });
  }

  private noteDeadEnd({ runs }: Choice<State>): void {
    const left = this.completed.length - this.path.length;
    const [{ state }] = runs;
    if (left >= (this.deepest?.left ?? Number.POSITIVE_INFINITY)) return;
    const placed = this.path.flatMap(({ operation, run }) => [
      ...(run === undefined ? [] : runOperations(run)).map((i) => this.unknown[i]),
      this.completed[operation],
    ]);
    const stuck = this.timeline.candidates().map((i) => this.completed[i]);
    this.deepest = {
      placed: placed.filter((operation) => operation !== undefined),
      state,
      stuck: stuck.filter((operation) => operation !== undefined).sort((a, b) => a.return - b.return),
      left,
    };
  }

  private isUsed(run: Run<State>, operation: number): boolean {
    return this.placed.hasUnknown(operation) || runHas(run, operation);
  }

  private stepCompleted(state: State, operation: number): State | undefined {
    const { input, output } = this.completed[operation] as CompletedOperation<Input, Output>;
    this.steps++;
    return this.model.step(state, input, output);
  }

  /** Returns the position in the timeline to go on from. */
  private place(operation: number, run: Run<State> | undefined): number {
    this.path.push({ operation, run });
    this.toggle(operation, run);
    return this.timeline.lift(operation);
  }

  private backTo(depth: number): void {
    while (this.path.length > depth) {
      const last = this.path.pop();
      if (last === undefined) return;
      this.timeline.putBack(last.operation);
      this.toggle(last.operation, last.run);
    }
  }

  private toggle(operation: number, run: Run<State> | undefined): void {
    this.placed.toggleCompleted(operation);
    for (let last = run?.last; last !== undefined; last = last.before.last) this.placed.toggleUnknown(last.operation);
  }

  private idOf(state: State): number {
    const key = (this.shortcuts ?? this.model).key(state);
    let id = this.stateIds.get(key);
    if (id === undefined) {
      id = this.stateIds.size;
      this.stateIds.set(key, id);
    }
    return id;
  }
}
