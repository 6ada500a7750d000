// Which server there is, and whether it can serve. Knows nothing of VS Code, so that the tests
// start the server in the way in which the extension does.
import { spawn } from "node:child_process";

/** The command that the setting `unik.command` means. */
export function chosen(setting: string | undefined): string {
  return setting?.trim() || "unikgen";
}

/** How `command` is started as a server. */
export function server(command: string): { command: string; args: string[] } {
  return { command, args: ["lsp"] };
}

/** Why `command` can't serve, in words for a person. */
export function whyNot(command: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(command, ["lsp", "--help"], { stdio: "ignore" });
    child.on("error", (error: NodeJS.ErrnoException) => {
      resolve(
        error.code === "ENOENT"
          ? `\`${command}\` isn't there: install unikgen, or say where it is in the setting unik.command.`
          : `\`${command}\` can't be started: ${error.message}`,
      );
    });
    child.on("exit", (code) => {
      resolve(code === 0 ? undefined : `\`${command}\` has no language server: it is older than this extension.`);
    });
  });
}
