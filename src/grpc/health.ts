import type { Server, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { NodeApi } from "../node/api.ts";

/** How soon a change of readiness shows at the latest. */
const POLL_INTERVAL_MS = 200;

/** The library remembers for ever what anybody has watched, and repeats what anybody asked for: here it is all one. */
const UNKNOWN_SERVICE = "that name";

/** grpc.health.v1 for the server as a whole and each service: SERVING while the node takes part and isn't draining. */
export class Health {
  readonly #node: NodeApi;
  readonly #services: readonly string[];
  readonly #implementation = new HealthImplementation();
  readonly #timer: NodeJS.Timeout;
  readonly #unsubscribe: () => void;
  #serving: boolean | undefined;

  /** `services` are the full names of those on the same listener. */
  constructor(node: NodeApi, services: readonly string[]) {
    this.#node = node;
    this.#services = ["", ...services];
    this.#refresh();
    this.#timer = setInterval(() => this.#refresh(), POLL_INTERVAL_MS).unref();
    // A drain shows at once: whoever balances load has to learn of it first.
    this.#unsubscribe = node.onApplied(() => {
      if (node.draining) this.#refresh();
    });
  }

  addTo(server: Pick<Server, "addService">): void {
    const view: Pick<Server, "addService"> = {
      addService: (definition: ServiceDefinition, implementation: UntypedServiceImplementation) => {
        const known: UntypedServiceImplementation = {};
        for (const [name, handle] of Object.entries(implementation)) {
          known[name] = ((call: HealthCall, answer: unknown) => {
            if (!this.#services.includes(call.request.service)) call.request.service = UNKNOWN_SERVICE;
            (handle as (call: HealthCall, answer: unknown) => void)(call, answer);
          }) as never;
        }
        server.addService(definition, known);
      },
    };
    this.#implementation.addToServer(view as Parameters<HealthImplementation["addToServer"]>[0]);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#unsubscribe();
  }

  #refresh(): void {
    const serving = !this.#node.draining && this.#node.status().notReadyReason === "";
    if (serving === this.#serving) return;
    this.#serving = serving;
    for (const service of this.#services) {
      this.#implementation.setStatus(service, serving ? "SERVING" : "NOT_SERVING");
    }
  }
}

interface HealthCall {
  readonly request: { service: string };
}
