import { connect } from "node:net";
import { afterEach, expect, it } from "vitest";
import { type HttpServer, startHttpServer } from "../../src/http/server.ts";

let server: HttpServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function start(notReadyReason: () => string): Promise<string> {
  server = await startHttpServer({ host: "127.0.0.1", port: 0, notReadyReason });
  return `http://127.0.0.1:${server.port}`;
}

it("says that the process lives whether or not the node is ready", async () => {
  const url = await start(() => "no leader");
  const response = await fetch(`${url}/livez`);
  expect([response.status, await response.text()]).toEqual([200, "ok\n"]);
});

it("answers 503 with the reason on /readyz until the node is ready", async () => {
  let reason = "no leader";
  const url = await start(() => reason);
  const before = await fetch(`${url}/readyz?verbose`);
  expect([before.status, await before.text()]).toEqual([503, "no leader\n"]);
  reason = "";
  const after = await fetch(`${url}/readyz`);
  expect([after.status, await after.text()]).toEqual([200, "ok\n"]);
});

it("has nothing else, and takes no other method", async () => {
  const url = await start(() => "");
  expect((await fetch(`${url}/`)).status).toBe(404);
  expect((await fetch(`${url}/livez/x`)).status).toBe(404);
  expect((await fetch(`${url}/livez`, { method: "POST", body: "x" })).status).toBe(405);
});

it("refuses headers over its limit", async () => {
  const url = await start(() => "");
  expect((await fetch(`${url}/livez`, { headers: { x: "y".repeat(10_000) } })).status).toBe(431);
});

it("closes while a connection is open that sends nothing", async () => {
  const url = new URL(await start(() => ""));
  const socket = connect(Number(url.port), url.hostname);
  await new Promise((resolve) => socket.once("connect", resolve));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await server?.close();
  await closed;
});

it("fails when the address is taken", async () => {
  const url = new URL(await start(() => ""));
  const second = startHttpServer({ host: "127.0.0.1", port: Number(url.port), notReadyReason: () => "" });
  await expect(second).rejects.toMatchObject({ code: "EADDRINUSE" });
});
