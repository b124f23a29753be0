// Runs the audits of npm's graphql-http against a running gateway and prints them as one line of
// JSON: a list of {id, name, status, reason}. Usage: node audit.mjs URL TOKEN

import { auditServer } from "graphql-http";

const [url, token] = process.argv.slice(2);

const fetchFn = (input, init = {}) =>
  fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } });

const results = await auditServer({ url, fetchFn });
for (const { response } of results) await response?.body?.cancel().catch(() => {});
console.log(
  JSON.stringify(
    results.map(({ id, name, status, reason }) => ({ id, name, status, reason: reason ?? null })),
  ),
);
