import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { afterEach, expect, it } from "vitest";
import { Cluster, closeClusters } from "../support/cluster.ts";
import { until } from "../support/wait.ts";
import { endAll, start } from "./command.ts";

afterEach(async () => {
  await endAll();
  await closeClusters();
});

it("goes on at the members that its node had not heard from yet when it asked first", async () => {
  const cluster = await Cluster.create({ size: 3, stopped: true });
  const [n1, n2, n3] = cluster.nodes;
  if (n1 === undefined || n2 === undefined || n3 === undefined) throw new Error("three nodes");
  await n1.start();
  const subscriber = start(["subscribe", "-o", "json", "--address", n1.client.address]);
  await until("it subscribes", async () => (await n1.client.status()).applyStreams === 1);

  await Promise.all([n2.start(), n3.start()]);
  const printed = async (command: string): Promise<void> => {
    await n2.commit(command);
    await until(
      () => `${command} is printed: ${subscriber.stderr()}`,
      () => subscriber.stdout().includes(`"text":"${command}"`),
    );
  };
  for (const command of ["one", "two", "three"]) await printed(command);
  await n1.kill();
  await printed("four");
  expect(subscriber.stderr()).toContain(`${n1.client.address}: `);
}, 90_000);

it("goes on at another address when nothing answers at the first, though something accepts", async () => {
  const mute = createServer(() => {}).listen(0, "127.0.0.1");
  await once(mute, "listening");
  const cluster = await Cluster.create({ size: 1 });
  const node = await cluster.leader();
  await node.commit("one");
  const { port } = mute.address() as AddressInfo;
  const subscriber = start(["subscribe", "-o", "json", "--address", `127.0.0.1:${port},${node.client.address}`]);
  await until(
    () => `it is printed: ${subscriber.stderr()}`,
    () => subscriber.stdout().includes('"text":"one"'),
  );
  mute.close();
}, 90_000);

it("goes on at another member when its node hangs", async () => {
  const cluster = await Cluster.create({ size: 3 });
  const leader = await cluster.leader();
  const [follower] = cluster.others(leader);
  if (follower === undefined) throw new Error("three nodes");
  const subscriber = start(["subscribe", "-o", "json", "--address", follower.client.address]);
  const isPrinted = (command: string) => (): boolean => subscriber.stdout().includes(`"text":"${command}"`);
  await leader.commit("one");
  await until("the first is printed", isPrinted("one"));
  follower.pause();
  await leader.commit("two");
  await until(() => `the second is printed: ${subscriber.stderr()}`, isPrinted("two"));
  follower.resume();
}, 90_000);
