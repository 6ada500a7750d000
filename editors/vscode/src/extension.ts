// The client of `unikgen lsp`: starts it, says plainly when it can't, and starts it again.
import * as vscode from "vscode";
import { LanguageClient } from "vscode-languageclient/node";
import { chosen, server, whyNot } from "./server";

let client: LanguageClient | undefined;
/** What happens to the client happens one after the other. */
let turn: Promise<void> = Promise.resolve();

export function activate(context: vscode.ExtensionContext): Promise<void> {
  context.subscriptions.push(
    vscode.commands.registerCommand("unik.restart", () => inTurn(restart)),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("unik.command")) {
        void inTurn(restart);
      }
    }),
  );
  return inTurn(start);
}

export function deactivate(): Promise<void> {
  return inTurn(stop);
}

function inTurn(step: () => Promise<void>): Promise<void> {
  turn = turn.then(step, step);
  return turn;
}

async function restart(): Promise<void> {
  await stop();
  await start();
}

async function stop(): Promise<void> {
  const running = client;
  client = undefined;
  // A server that has died can't be asked to stop; what is left of it goes all the same.
  await running?.dispose().catch(() => undefined);
}

async function start(): Promise<void> {
  const command = chosen(vscode.workspace.getConfiguration("unik").get<string>("command"));
  const wrong = await whyNot(command);
  if (wrong !== undefined) {
    void complain(wrong);
    return;
  }
  client = new LanguageClient(
    "unik",
    "unik",
    server(command),
    {
      documentSelector: [{ language: "unik" }],
      synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.unik") },
    },
  );
  try {
    await client.start();
  } catch (error) {
    void complain(`\`${command} lsp\` doesn't answer: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function complain(message: string): Promise<void> {
  const open = "Open the setting";
  if ((await vscode.window.showErrorMessage(message, open)) === open) {
    await vscode.commands.executeCommand("workbench.action.openSettings", "unik.command");
  }
}
