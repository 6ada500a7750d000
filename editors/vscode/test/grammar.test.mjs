// The grammar of colours, over every .unik file of the examples and of the language's tests.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");
const root = join(import.meta.dirname, "../../..");

const wasm = readFileSync(join(require.resolve("vscode-oniguruma"), "../onig.wasm"));
await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
const registry = new textmate.Registry({
  onigLib: Promise.resolve({
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  }),
  loadGrammar: async () =>
    textmate.parseRawGrammar(readFileSync(join(root, "editors/textmate/unik.tmLanguage.json"), "utf8"), "unik.json"),
});
const grammar = await registry.loadGrammar("source.unik");

/** The tokens of a text, line by line: `{ line, text, scopes }`, without blank ones; and how deep it ends. */
function tokens(text) {
  let stack = textmate.INITIAL;
  const found = [];
  text.split(/\r?\n/).forEach((line, number) => {
    const result = grammar.tokenizeLine(line, stack);
    stack = result.ruleStack;
    for (const { startIndex, endIndex, scopes } of result.tokens) {
      const part = line.slice(startIndex, endIndex);
      if (part.trim() !== "") {
        found.push({ line: number + 1, text: part.trim(), scopes: scopes.slice(1).join(" ") });
      }
    }
  });
  return { found, depth: stack.depth };
}

function files(folder) {
  return readdirSync(join(root, folder), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".unik") && !/(^|\/)(target|node_modules|\.unik)(\/|$)/.test(name))
    .map((name) => join(folder, name));
}

const right = [...files("examples"), ...files("dsl/tests/right")];
const wrong = files("dsl/tests/wrong");

test("there are files to try", () => {
  assert(right.length >= 10, `${right.length} right files`);
  assert(wrong.length >= 100, `${wrong.length} wrong files`);
});

for (const file of right) {
  test(`all of ${file} has a colour`, () => {
    const { found, depth } = tokens(readFileSync(join(root, file), "utf8"));
    for (const { line, text, scopes } of found) {
      assert(scopes !== "", `${file}:${line}: \`${text}\` is not known to the grammar`);
      assert(!scopes.includes("invalid"), `${file}:${line}: \`${text}\` is ${scopes}`);
    }
    assert.equal(depth, 1, `${file} ends inside of something`);
  });
}

test("no wrong file leaks a string or hides its comments", () => {
  for (const file of wrong) {
    const text = readFileSync(join(root, file), "utf8");
    if (text.includes("/*")) {
      continue; // An unclosed comment rightly hides what follows.
    }
    const { found } = tokens(text);
    text.split(/\r?\n/).forEach((line, index) => {
      const comment = /^\s*(\/\/.*)$/.exec(line);
      if (comment) {
        const inside = found.filter((token) => token.line === index + 1);
        assert(inside.every((token) => token.scopes.startsWith("comment.")), `${file}:${index + 1}: ${line}`);
      }
      const keyword = /^\s*(appliance|param|let|when|include)\s+[a-z$"]/.exec(line);
      if (keyword && !keyword[0].includes('"')) {
        const first = found.find((token) => token.line === index + 1);
        assert(first !== undefined, `${file}:${index + 1}: ${line}`);
        assert(!first.scopes.startsWith("string."), `${file}:${index + 1}: ${line}`);
      }
    });
  }
});

const cases = [
  ["unik 1", "unik keyword.other.version", "1 constant.numeric"],
  ["include \"base.unik\"", "include keyword.control.import", "base.unik string.quoted"],
  ["param key: secret string at boot", "param keyword.declaration", "key variable.parameter",
    "secret storage.modifier", "string support.type", "at storage.modifier", "boot storage.modifier"],
  ["param a: cidr4 at boot = 10.0.0.2/24", "cidr4 support.type", "boot storage.modifier",
    "10.0.0.2/24 constant.other.address.ipv4"],
  ["param n: integer 1..=9 = 3", "..= keyword.operator.range", "3 constant.numeric.integer"],
  ["let room = 16 MiB", "let keyword.declaration", "room variable.other.constant", "MiB keyword.other.unit"],
  ["appliance a { memory 8 MiB }", "a entity.name.type", "memory support.type.property", "8 constant.numeric",
    "MiB keyword.other.unit"],
  ["device nic = virtio-net", "device storage.type", "nic entity.name.instance", "virtio-net support.class.component"],
  ["network lan = ip on nic { ipv4 $address gateway 10.0.0.1 }", "on keyword.other.wires",
    "nic variable.other.instance", "$address variable.other.reference", "10.0.0.1 constant.other.address.ipv4"],
  ["when target == process { log level debug }", "when keyword.control.conditional", "target variable.language",
    "== keyword.operator.comparison", "level constant.other.word"],
  ["when $mode in [fast, slow] {", "$mode variable.other.reference", "in keyword.control.conditional",
    "fast constant.other.word"],
  ["budget { image <= 400 KiB }", "budget support.type.property", "<= keyword.operator.comparison", "KiB keyword.other.unit"],
  ["rate-limit 1000 per second", "per keyword.operator.word", "second keyword.other.unit"],
  ["mac 52:54:00:12:34:56", "52:54:00:12:34:56 constant.other.address.mac"],
  ["at [::1]:53", "[::1]:53 constant.other.address.endpoint"],
  ["crate guest-book { path \"x\" }", "crate keyword.declaration", "guest-book entity.name.namespace"],
  ["text \"a\\n$b\" // why", "\\n constant.character.escape", "// comment.line"],
  ["/// what it is", "/// comment.line.documentation"],
  ["a /* b /* c */ d */ e", "a support.type.property", "d comment.block", "e constant.other.word"],
  ["readonly true; port 80", "true constant.language.boolean", "port support.type.property", "80 constant.numeric"],
];
for (const [line, ...wanted] of cases) {
  test(line, () => {
    const { found } = tokens(line);
    for (const want of wanted) {
      const cut = want.lastIndexOf(" ");
      const [text, scope] = [want.slice(0, cut), want.slice(cut + 1)];
      const token = found.find((token) => token.text === text) ?? found.find((token) => token.text.startsWith(text));
      assert(token !== undefined, `no token \`${text}\` in ${JSON.stringify(found)}`);
      assert(token.scopes.includes(scope), `\`${text}\` is ${token.scopes}, not ${scope}`);
    }
  });
}
