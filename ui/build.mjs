// Builds the browser's half into src/banger/web/assets: index.html, and files with a digest in their names in assets/,
// each also compressed. A page may take 300 kB (gzip) before it works; more is an error.
//
//   node build.mjs [OUT]

import { build } from "esbuild";
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const PAGE_LIMIT_BYTES = 300_000;
const COMPRESSED = /\.(css|html|js|svg)$/;
const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "../src/banger/web/assets"));
const fresh = `${out}.new`;

async function bundle() {
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints: { main: "src/main.tsx", icon: "src/icon.svg" },
    outdir: join(fresh, "assets"),
    bundle: true,
    format: "esm",
    splitting: true,
    minify: true,
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    jsx: "automatic",
    jsxImportSource: "preact",
    loader: { ".svg": "copy" },
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
    metafile: true,
  });
  return Object.keys(metafile.outputs).map((path) => path.split("/").at(-1));
}

function page(names) {
  const named = (begin, end) => `/assets/${names.find((name) => name.startsWith(begin) && name.endsWith(end))}`;
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>banger</title>
    <link rel="icon" href="${named("icon-", ".svg")}">
    <link rel="stylesheet" href="${named("main-", ".css")}">
    <script type="module" src="${named("main-", ".js")}"></script>
  </head>
  <body>
    <div id="app"></div>
    <noscript>This page needs JavaScript. The command line, banger, does all that it does.</noscript>
  </body>
</html>
`;
}

async function compress(directory) {
  let total = 0;
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      total += await compress(path);
    } else if (COMPRESSED.test(entry.name)) {
      const raw = await readFile(path);
      const gzip = gzipSync(raw, { level: 9 });
      await writeFile(`${path}.gz`, gzip);
      await writeFile(`${path}.br`, brotliCompressSync(raw, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
      total += gzip.length;
    }
  }
  return total;
}

async function exists(path) {
  return stat(path).then(() => true, () => false);
}

await rm(fresh, { recursive: true, force: true });
await mkdir(join(fresh, "assets"), { recursive: true });
await writeFile(join(fresh, "index.html"), page(await bundle()));
const total = await compress(fresh);
if (total > PAGE_LIMIT_BYTES) {
  console.error(`build: all files take ${total} bytes compressed, more than ${PAGE_LIMIT_BYTES}`);
  process.exit(1);
}
if (await exists(out)) await rm(out, { recursive: true });
await rename(fresh, out);
console.log(`build: ${total} bytes compressed`);
