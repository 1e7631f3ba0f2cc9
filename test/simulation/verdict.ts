import { assert } from "../../src/assert.ts";
import type { Clients } from "./clients.ts";
import type { Operation } from "./history.ts";
import { checkLinearizable } from "./linearizability/checker.ts";
import type { History } from "./linearizability/history.ts";
import { type KeyValueInput, type KeyValueOutput, keyValueModel } from "./linearizability/models.ts";
import { isWitness } from "./linearizability/witness.ts";
import { apply } from "./service.ts";

type KeyValueHistory = History<KeyValueInput, KeyValueOutput>;

/** Of one key: what the search may take before the log's own order is tried. */
const SEARCH_WORK = 100_000;

/**
 * - `searched`: the search has found an order;
 * - `witnessed`: it took too long, and the log's order is one;
 * - `undecided`: the log's order is none, and whether there is another couldn't be found out.
 */
export type Linearizability = "searched" | "witnessed" | "undecided";

/** What a history must show once everything has settled. Returns how its linearizability was decided. */
export function judge(clients: Clients): Linearizability {
  const places = placesOf(clients);
  answersHold(clients, places);
  orderHolds(clients, places);
  return linearizabilityOf(clients, places);
}

/**
 * Where each operation is. Nobody but the caller may repeat one, and these callers don't. All services have come to the state
 * that the log makes.
 */
function placesOf({ history, services }: Clients): Map<Operation, number> {
  const places = new Map<Operation, number>();
  const values = new Map<string, string>();
  for (const [index, operation] of history.committed()) {
    const other = places.get(operation);
    assert(other === undefined, `operation ${operation.id} is in the log at ${other} and at ${index}`);
    places.set(operation, index);
    operation.output = apply(values, operation.input);
  }
  for (const { host, values: own } of services) {
    assert(own.size === values.size, `the service of ${host.id} has ${own.size} keys, the log makes ${values.size}`);
    for (const [key, value] of values) {
      assert(own.get(key) === value, `the service of ${host.id} has ${own.get(key)} at ${key}, the log makes ${value}`);
    }
  }
  return places;
}

/** NOT_APPENDED truly absent, acknowledged truly there. */
function answersHold({ history }: Clients, places: ReadonlyMap<Operation, number>): void {
  for (const operation of history.operations) {
    if (operation.input.kind === "read") continue;
    const place = places.get(operation);
    const { id, outcome, index } = operation;
    assert(outcome !== "pending", `operation ${id} never got an answer`);
    if (outcome === "absent") assert(place === undefined, `operation ${id}, said to be absent, is at ${place}`);
    if (outcome === "acknowledged") {
      assert(place === index, `operation ${id}, acknowledged at ${index}, is at ${place ?? "no place"}`);
    }
  }
}

/** What one caller proposed in order, and what of it committed, is in that order in the log. */
function orderHolds({ ordered }: Clients, places: ReadonlyMap<Operation, number>): void {
  for (const { operations } of ordered) {
    let last: Operation | undefined;
    for (const operation of operations) {
      const place = places.get(operation);
      if (place === undefined) continue;
      const before = last === undefined ? 0 : (places.get(last) ?? 0);
      assert(before < place, `operation ${operation.id} is at ${place}, ${last?.id}, sent before it, at ${before}`);
      last = operation;
    }
  }
}

function linearizabilityOf({ history }: Clients, places: ReadonlyMap<Operation, number>): Linearizability {
  const inLogOrder = history.operations
    .map((operation) => ({ operation, place: places.get(operation) ?? operation.index }))
    // A read follows what it has found.
    .sort((a, b) => a.place - b.place || Number(isRead(a.operation)) - Number(isRead(b.operation)))
    .flatMap(({ operation }) => known(operation, places.has(operation)));
  const searched = checkLinearizable(keyValueModel, inLogOrder, { maxWork: SEARCH_WORK });
  const isInOrder = isWitness(keyValueModel, inLogOrder);
  if (searched.kind === "unknown" && isInOrder) return "witnessed";
  const verdict = searched.kind === "unknown" ? checkLinearizable(keyValueModel, inLogOrder) : searched;
  assert(verdict.kind !== "notLinearizable", verdict.kind === "notLinearizable" ? verdict.explanation : "");
  return verdict.kind === "linearizable" ? "searched" : "undecided";
}

function known(operation: Operation, isInLog: boolean): KeyValueHistory {
  const { id, client, call, input, output, outcome } = operation;
  const common = { client: `c${client}`, call, input };
  if (outcome === "acknowledged") {
    assert(operation.return !== undefined && output !== undefined, `operation ${id} has its answer`);
    return [{ ...common, return: operation.return, output }];
  }
  // What is not in the log has no effect, whatever its caller was told.
  return isInLog ? [{ ...common, return: undefined, output: undefined }] : [];
}

function isRead({ input }: Operation): boolean {
  return input.kind === "read";
}
