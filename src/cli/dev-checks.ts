import { createServer } from "node:net";
import { parseAddress } from "../config/address.ts";
import { type DevPlace, pidFile, runningPid } from "./dev-node.ts";
import { shortest } from "./entry-point.ts";
import { CommandError, EXIT } from "./exit.ts";

/** Refuses to start beside a former run that still runs, or where a port is taken: all of it is told at once. */
export async function checkPlaces(places: readonly DevPlace[]): Promise<void> {
  const running = places.flatMap((place) => {
    const pid = runningPid(place);
    return pid === undefined ? [] : [{ place, pid }];
  });
  if (running.length > 0) {
    throw new CommandError(
      EXIT.failed,
      running.map(({ place, pid }) => `${place.id} runs already as ${pid} (${shortest(pidFile(place))})`).join("\n"),
      `End what runs with: kill ${running.map(({ pid }) => pid).join(" ")}\nor use another --data-dir and --base-port.`,
    );
  }
  const taken = await Promise.all(
    places.flatMap(listeners).map(async (at) => ((await isFree(at.address)) ? [] : [at])),
  );
  const inUse = taken.flat();
  if (inUse.length > 0) {
    throw new CommandError(
      EXIT.failed,
      `in use: ${inUse.map(({ id, what, address }) => `${address} (${id} ${what})`).join(", ")}`,
      "Choose other ports with --base-port, or end what listens there.",
    );
  }
}

function listeners({ id, clientAddress, peerAddress, httpAddress }: DevPlace) {
  return [
    { id, what: "client", address: clientAddress },
    { id, what: "peer", address: peerAddress },
    { id, what: "http", address: httpAddress },
  ];
}

function isFree(address: string): Promise<boolean> {
  const { host, port } = parseAddress(address) ?? { host: "", port: 0 };
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
