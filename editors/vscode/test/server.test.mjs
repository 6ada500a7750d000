// The server, found and started in the way in which the extension does it. `UNIKGEN` says which.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const { chosen, server, whyNot } = require("../build/server.cjs");
const rpc = require("vscode-jsonrpc/node");

test("an empty setting means what is on the PATH", () => {
  assert.equal(chosen(undefined), "unikgen");
  assert.equal(chosen("  "), "unikgen");
  assert.equal(chosen("/opt/unikgen"), "/opt/unikgen");
});

test("what isn't there is told, and how to mend it", async () => {
  assert.match(await whyNot("/nowhere/unikgen"), /isn't there.*unik\.command/);
});

test("a command without a server is told", async () => {
  assert.match(await whyNot("false"), /no language server/);
});

test("the real server starts and finds what is wrong", { timeout: 30_000 }, async () => {
  const unikgen = process.env.UNIKGEN;
  assert(unikgen, "UNIKGEN names the unikgen to try");
  assert.equal(await whyNot(unikgen), undefined);
  const { command, args } = server(unikgen);
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const wire = rpc.createMessageConnection(
    new rpc.StreamMessageReader(child.stdout),
    new rpc.StreamMessageWriter(child.stdin),
  );
  const published = new Promise((resolve) => wire.onNotification("textDocument/publishDiagnostics", resolve));
  wire.listen();
  const { capabilities } = await wire.sendRequest("initialize", { processId: process.pid, rootUri: null, capabilities: {} });
  assert(capabilities.completionProvider && capabilities.hoverProvider && capabilities.renameProvider);
  await wire.sendNotification("initialized", {});
  const uri = "file:///nowhere/site.unik";
  await wire.sendNotification("textDocument/didOpen", {
    textDocument: { uri, languageId: "unik", version: 1, text: "unik 1\nappliance a { memry 8 MiB }\n" },
  });
  const { uri: of, diagnostics } = await published;
  assert.equal(of, uri);
  assert(diagnostics.some(({ message, range }) => message.includes("memry") && range.start.line === 1), JSON.stringify(diagnostics));
  await wire.sendRequest("shutdown");
  await wire.sendNotification("exit");
  assert.equal(await ended, 0);
  wire.dispose();
});
