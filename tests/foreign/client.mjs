// Trades through a running gateway with npm's graphql-ws, as a stranger would, and prints what it
// saw as one line of JSON. Usage: node client.mjs URL TOKEN ACCOUNT SYMBOL ORDERS
//
// It follows orderReports, fills and quotes over one socket, places the orders over HTTP, and cuts
// the socket in the middle, orders still running. What it missed it gets by its cursors.

import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, token, accountId, symbol, count] = process.argv.slice(2);
const orders = Number(count);
const authorization = `Bearer ${token}`;
const IN_FLIGHT = 16;
const CUT_AT = [Math.floor(orders / 3), Math.floor((2 * orders) / 3)];
const AWAY_MS = 150;
const PAGE = 100;

const REPORT = `__typename accountId seq clOrdId ordStatus text transactTime
  ... on ExecutionReport { execId execType symbol lastQty lastPx cumQty leavesQty avgPx }`;
const FILL = "accountId seq execId execType clOrdId symbol lastQty lastPx cumQty leavesQty avgPx";

const seen = { orderReports: [], fills: [], quotes: [] };
const connections = [];
let socket;

// --- over the socket ---------------------------------------------------------------------------

const client = createClient({
  url: url.replace(/^http/, "ws"),
  webSocketImpl: WebSocket,
  connectionParams: { authorization },
  // A retry by the client itself would send the old cursor again, so that this is done below.
  retryAttempts: 0,
  on: {
    opened: (opened) => {
      socket = opened;
      connections.push({ reports: seen.orderReports.length, quotes: seen.quotes.length });
    },
  },
});

const isOurFault = (error) => error?.code === 1006;

function subscribe(query, variables, field) {
  return new Promise((resolve, reject) => {
    client.subscribe(
      { query, variables },
      {
        next: ({ data, errors }) => (errors ? reject(errors) : seen[field].push(data[field])),
        error: (error) => (isOurFault(error) ? resolve() : reject(error)),
        complete: resolve,
      },
    );
  });
}

async function follow(field, declared, query, variables) {
  for (;;) {
    await subscribe(`subscription(${declared}) { ${field}${query} }`, variables(), field);
    await sleep(AWAY_MS);
  }
}

const cursor = (field) => ({ accountId, afterSeq: seen[field].at(-1)?.seq ?? "0" });

function followLog(field, selection) {
  return follow(
    field,
    "$accountId: ID!, $afterSeq: Sequence",
    `(accountId: $accountId, afterSeq: $afterSeq) { ${selection} }`,
    () => cursor(field),
  );
}

function followQuotes() {
  const query = "(symbols: $symbols) { symbol bid ask time receivedAt }";
  return follow("quotes", "$symbols: [String!]!", query, () => ({ symbols: [symbol] }));
}

// --- over HTTP ---------------------------------------------------------------------------------

async function ask(query, variables) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}

const PLACE = `mutation($input: PlaceOrderInput!) {
  placeOrder(input: $input) { __typename ... on Order { clOrdId ordStatus text } }
}`;

async function place(number) {
  const input = {
    accountId,
    clOrdId: `foreign-${number}`,
    symbol,
    side: number % 2 ? "SELL" : "BUY",
    ordType: "MARKET",
    orderQty: "1",
  };
  const { placeOrder } = await ask(PLACE, { input });
  if (placeOrder.__typename !== "Order" || placeOrder.ordStatus === "REJECTED") {
    throw new Error(`order ${number}: ${JSON.stringify(placeOrder)}`);
  }
}

async function placeAll() {
  let next = 0;
  const lane = async () => {
    while (next < orders) {
      const number = next++;
      if (CUT_AT.includes(number)) socket.terminate();
      await place(number);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

async function readLog() {
  const log = [];
  for (;;) {
    const { orderReports } = await ask(
      `query($accountId: ID!, $afterSeq: Sequence) {
        orderReports(accountId: $accountId, afterSeq: $afterSeq, first: ${PAGE}) {
          nodes { ${REPORT} } pageInfo { hasNextPage }
        }
      }`,
      { accountId, afterSeq: log.at(-1)?.seq ?? "0" },
    );
    log.push(...orderReports.nodes);
    if (!orderReports.pageInfo.hasNextPage) return log;
  }
}

// --- the whole ---------------------------------------------------------------------------------

async function until(what, holds) {
  for (let waited = 0; !holds(); waited += 20) {
    if (waited > 60_000) throw new Error(`waited a minute for ${what}`);
    await sleep(20);
  }
}

async function untilReady() {
  const ready = new URL("/readyz", url);
  for (let waited = 0; waited < 30_000; waited += 50) {
    const answer = await fetch(ready).catch(() => null);
    if (answer?.ok) return;
    await sleep(50);
  }
  throw new Error(`${ready} is not ready after 30 seconds`);
}

const isFill = ({ execType }) => execType?.startsWith("TRADE");
const filled = () => seen.fills.reduce((sum, fill) => sum + Number(fill.lastQty), 0);
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const identity = ({ accountId, seq, execId, clOrdId, lastQty, lastPx, cumQty }) => ({
  accountId, seq, execId, clOrdId, lastQty, lastPx, cumQty,
});

async function trade() {
  await untilReady();
  const following = Promise.all([
    followLog("orderReports", REPORT),
    followLog("fills", FILL),
    followQuotes(),
  ]);
  const trading = async () => {
    await until("the first quote", () => seen.quotes.length > 0);
    await placeAll();
    await until("all fills", () => filled() >= orders);
    const log = await readLog();
    await until("all reports", () => seen.orderReports.length >= log.length);
    const before = connections.at(-1).quotes;
    await until("a quote after the last cut", () => seen.quotes.length > before);
    // Whatever would come twice has the time to come.
    await sleep(500);
    return log;
  };
  return Promise.race([trading(), following]);
}

const log = await trade();
console.log(
  JSON.stringify({
    connections,
    log: log.length,
    lastSeq: log.at(-1).seq,
    reports: seen.orderReports.map(({ seq }) => Number(seq)),
    reportsAreTheLog: same(seen.orderReports, log),
    fills: seen.fills.map(({ seq }) => Number(seq)),
    fillsAreTheLogs: same(seen.fills.map(identity), log.filter(isFill).map(identity)),
    filledOrders: new Set(
      seen.orderReports.filter(({ ordStatus }) => ordStatus === "FILLED").map((r) => r.clOrdId),
    ).size,
    quotes: seen.quotes,
  }),
);
process.exit(0);
