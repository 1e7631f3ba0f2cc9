import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { probeRefusal } from "../../src/grpc/refusal-probe.ts";
import { GrpcTransport } from "../../src/grpc/transport.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { Link } from "../support/link.ts";
import { freePort } from "../support/ports.ts";
import { eventually, makeFolder, RecordedLog, removeFolder, sleep, startNode, type TestNode } from "./support.ts";

/** Long enough for a dial on loopback, and for several. */
const SOON_MS = 500;

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanUp.splice(0).reverse()) await undo();
});

function probed(address: string): { refusals: number; end: () => void } {
  const probe = {
    refusals: 0,
    end: probeRefusal(address, (isRefused) => {
      if (isRefused) probe.refusals++;
    }),
  };
  return probe;
}

describe("a probe", () => {
  it("tells of a port where nobody listens, by address and by name", async () => {
    const port = await freePort();
    for (const host of ["127.0.0.1", "localhost"]) {
      const probe = probed(`${host}:${port}`);
      await eventually(() => probe.refusals === 1, `${host} is refused`);
    }
  });

  it("says nothing where somebody listens, and goes at once", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => sockets.push(socket.resume())).listen(0, "127.0.0.1");
    cleanUp.push(() => server.close());
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
    const probe = probed(`127.0.0.1:${address.port}`);
    // One address of two is enough.
    const named = probed(`localhost:${address.port}`);
    await eventually(() => sockets.length === 2 && sockets.every(({ closed }) => closed), "both have gone");
    expect([probe.refusals, named.refusals]).toEqual([0, 0]);
  });

  it("says nothing of a name that nobody knows, and nothing once it was ended", async () => {
    const unknown = probed("nobody.invalid:7421");
    const ended = probed(`127.0.0.1:${await freePort()}`);
    ended.end();
    await sleep(SOON_MS);
    expect([unknown.refusals, ended.refusals]).toEqual([0, 0]);
    unknown.end();
  });
});

describe("a node's connection to a member", () => {
  it("tells that the member refuses it only once it was open: not when it never was, nor while the member takes it", async () => {
    const { member, events, link, restart } = await dialing();
    await sleep(SOON_MS);
    expect(events).toEqual([]);

    await restart();
    await eventually(() => events.length > 0, "it is open");
    expect(events).toEqual(["reachable n2"]);

    // The link breaks, and whoever dials is let in and thrown out.
    link.set("cut");
    await eventually(() => events.includes("unreachable n2"), "it broke");
    await sleep(SOON_MS);
    link.set("open");
    await eventually(() => events.length === 3, "it is open again");
    expect(events).toEqual(["reachable n2", "unreachable n2", "reachable n2"]);

    // Now nobody listens any more.
    events.length = 0;
    await member()?.stop();
    await link.close();
    await eventually(() => events.length > 3, "it is refused, and dialed again");
    expect(events[0]).toBe("unreachable n2");
    expect(new Set(events.slice(1))).toEqual(new Set(["refused n2"]));

    // Who stays away is not probed for ever.
    await sleep(3_000);
    const told = events.length;
    await sleep(1_000);
    expect(events).toHaveLength(told);
  });

  it("gives a request back at once that waits for a member which refuses it", async () => {
    const { member, events, link, restart, transport } = await dialing();
    await restart();
    await eventually(() => events.length > 0, "it is open");
    await member()?.stop();
    const startMs = performance.now();
    const outcome = new Promise((resolve) => transport.forward("n2", { kind: "readIndex", term: 1 }, resolve));
    await link.close();
    expect(await outcome).toEqual({ kind: "notSent" });
    // Without a refusal it waits for a second.
    expect(performance.now() - startMs).toBeLessThan(900);
  });
});

/** n1's transport, which dials n2 over a link. Nothing runs as n2 yet. */
async function dialing() {
  const folder = await makeFolder();
  cleanUp.push(() => removeFolder(folder));
  const peers = new Map<NodeId, string>();
  for (const id of ["n1", "n2"]) peers.set(id, `127.0.0.1:${await freePort()}`);
  const link = await Link.listen(peers.get("n2") ?? "");
  const one = await startNode({ id: "n1", peers, dataDir: `${folder}/n1` });
  cleanUp.push(() => one.stop());
  const transport = new GrpcTransport({
    self: "n1",
    peers: new Map([["n2", link.address]]),
    handshaker: one.node.handshaker,
    snapshots: one.snapshots,
    snapshotRate: 1,
    log: new RecordedLog(),
  });
  cleanUp.push(() => transport.close());
  const events: string[] = [];
  transport.start({
    onMessage: () => undefined,
    onForward: () => {},
    onUnreachable: (id) => void events.push(`unreachable ${id}`),
    onRefused: (id) => void events.push(`refused ${id}`),
    onReachable: (id) => void events.push(`reachable ${id}`),
  });
  let two: TestNode | undefined;
  const restart = async (): Promise<void> => {
    two = await startNode({ id: "n2", peers, dataDir: `${folder}/n2` });
  };
  return { member: () => two, events, link, restart, transport };
}
