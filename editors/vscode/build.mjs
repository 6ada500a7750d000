// One file of JavaScript for the extension, and the grammar beside it.
import { copyFileSync, mkdirSync } from "node:fs";
import { build } from "esbuild";

mkdirSync("dist", { recursive: true });
copyFileSync("../textmate/unik.tmLanguage.json", "dist/unik.tmLanguage.json");
const node = { bundle: true, platform: "node", target: "node20", format: "cjs" };
await build({
  ...node,
  entryPoints: ["src/extension.ts"],
  outfile: "dist/extension.js",
  external: ["vscode"],
  minify: true,
});
// For the tests alone, and outside of what is packaged.
await build({ ...node, entryPoints: ["src/server.ts"], outfile: "build/server.cjs" });
