// Trades through a simulator of Tradovate with an npm client of its API that nobody here wrote, and
// prints what it saw as one line of JSON. Usage: node tradovate.mjs URL NAME PASSWORD CID SEC

import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

const require = createRequire(import.meta.url);
const [url, name, password, cid, sec] = process.argv.slice(2);
const said = console.log;
console.log = () => {}; // The client tells of its requests, tokens and all.

// Its hosts are constants, which are changed before what reads them is loaded.
const types = require("tradovate/dist/types");
const socketUrl = `${url.replace("http", "ws")}/v1/websocket`;
Object.assign(types.URLs, {
  DEMO_URL: `${url}/v1`,
  MD_URL: `${socketUrl}?md`,
  WS_DEMO_URL: socketUrl,
});
const { MarketDataSocket, TradovateService, TradovateSocket } = require("tradovate");

const seen = { unknown: [], changes: [], quotes: 0 };
const until = async (done) => {
  for (let turn = 0; turn < 100 && !done(); turn += 1) await sleep(100);
};

// Every word of a closed vocabulary has to be one that the client's published types know.
const vocabularies = {
  accountType: types.AccountType,
  action: types.OrderAction,
  commandStatus: types.CommandStatus,
  commandType: types.CommandType,
  execType: types.ExecutionReportType,
  failureReason: types.FailureReason,
  legalStatus: types.LegalStatus,
  marginAccountType: types.MarginAccountType,
  orderType: types.OrderType,
  ordStatus: types.OrderStatus,
  priceFormatType: types.PriceFormatType,
  productType: types.ProductType,
  rejectReason: types.FailureReason,
  timeInForce: types.TimeInForce,
};
const check = (entity) => {
  for (const [field, words] of Object.entries(vocabularies)) {
    if (field in entity && !Object.values(words).includes(entity[field])) {
      seen.unknown.push([field, entity[field]]);
    }
  }
};

const service = new TradovateService();
const credentials = { name, password, cid: Number(cid), sec, appId: "foreign", appVersion: "1" };
try {
  await service.connect({ ...credentials, password: "not this one" });
} catch (error) {
  seen.refused = error.message;
}
const token = await service.connect(credentials);
const [account] = await service.get("account/list");
const [product] = (await service.get("product/list")).filter((each) => each.name === "ES");
const [{ name: symbol, id: contractId }] = await service.get("contract/suggest", { t: "ES", l: 1 });
[account, product].forEach(check);
seen.account = [account.name, types.isAccount(account), token.userId === account.userId];
seen.product = [product.tickSize, product.valuePerPoint];

const socket = new TradovateSocket();
await socket.connect();
let snapshot;
await socket.synchronize({
  onSubscription: (data) => {
    if (data.users) {
      snapshot = data;
      return;
    }
    check(data.entity);
    seen.changes.push([data.entityType, data.eventType]);
    seen.last = { ...seen.last, [data.entityType]: data.entity };
  },
});
await until(() => snapshot);
seen.snapshot = ["accounts", "orders", "fills", "contracts"].map((each) => Array.isArray(snapshot[each]));

const plain = { accountSpec: account.name, accountId: account.id, symbol, isAutomated: true };
const resting = await service.post("order/placeorder", {
  ...plain, action: "Buy", orderQty: 2, orderType: "Limit", price: 1, clOrdId: "js-1",
});
const changed = { orderId: resting.orderId, orderQty: 3, orderType: "Limit", price: 2 };
seen.modified = typeof (await service.post("order/modifyorder", changed)).commandId;
const { d: canceled } = await socket.request({
  url: "order/cancelorder", body: { orderId: resting.orderId },
});
seen.canceled = typeof canceled.commandId;
const late = await service.post("order/cancelorder", { orderId: resting.orderId });
check(late);
seen.late = late.failureReason;
await until(() => seen.last.order?.ordStatus === "Canceled");
const versions = await service.get("orderVersion/deps", { masterid: resting.orderId });
seen.versions = versions.map((each) => [each.orderQty, each.price]);
const commands = await service.get("command/list");
seen.labels = commands.map((each) => each.clOrdId).filter(Boolean);

const data = new MarketDataSocket();
await data.connect();
await data.subscribeQuote(symbol, (quote) => {
  if (quote.contractId === contractId && quote.entries.Bid.price > 0) seen.quotes += 1;
});
const { orderId } = await service.post("order/placeorder", {
  ...plain, action: "Sell", orderQty: 1, orderType: "Market", clOrdId: "js-2",
});
await until(() => seen.last.order.id === orderId && seen.last.order.ordStatus === "Filled");
await until(() => seen.quotes > 0);
const [fill] = await service.get("fill/deps", { masterid: orderId });
seen.fill = [types.isFill(fill), fill.qty, fill.action];
const positions = await service.get("position/list");
seen.positions = positions.map((each) => [each.accountId === account.id, each.netPos]);
seen.unknownSymbol = (await service.post("order/placeorder", {
  ...plain, symbol: "NOSUCH", action: "Buy", orderQty: 1, orderType: "Market",
})).failureReason;

// Renewal is asked for only near the end of a token, which the client goes by its own clock for.
service.storage.expirationTime = new Date(Date.now() + 60_000).toISOString();
const renewed = await service.renewAccessToken();
seen.renewed = renewed.accessToken !== token.accessToken;
seen.after = (await service.get("order/item", { id: orderId })).ordStatus;

// The user's third session ends the first, and so the socket that was opened in it.
service.storage.clear();
await service.connect(credentials);
service.storage.clear();
await service.connect(credentials);
await until(() => !socket.isConnected());
seen.evicted = !socket.isConnected();
said(JSON.stringify({ ...seen, last: undefined }));
process.exit(0);
