import { afterEach, it } from "vitest";
import { Link } from "../support/link.ts";
import { freePort } from "../support/ports.ts";
import { eventually, makeFolder, removeFolder, sleep, startNode, type TestNode } from "./support.ts";

const nodes: TestNode[] = [];
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
});

it("a peer is dialed anew when nothing ever comes of a connection that was accepted", { timeout: 60_000 }, async () => {
  const folder = await makeFolder();
  const [one, two] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const link = await Link.listen(two);
  link.set("blackhole");
  const start = async (id: string, peers: Map<string, string>): Promise<TestNode> => {
    const node = await startNode({ id, peers, dataDir: `${folder}/${id}` });
    nodes.push(node);
    return node;
  };
  const dialer = await start(
    "n1",
    new Map([
      ["n1", one],
      ["n2", link.address],
    ]),
  );
  await start(
    "n2",
    new Map([
      ["n1", one],
      ["n2", two],
    ]),
  );
  await sleep(1_000);
  // As when the machine behind the connection is gone without a word, and another process has its address.
  link.forgetConnections();
  await eventually(() => dialer.transport.connection("n2").connected, "n1 is connected to n2", 30_000);
  await link.close();
  await removeFolder(folder);
});
