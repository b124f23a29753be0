// Trades through a simulator of Alpaca with Alpaca's own npm client, and prints what it saw as one
// line of JSON. Usage: node alpaca.mjs URL KEY_ID SECRET_KEY

import { setTimeout as sleep } from "node:timers/promises";
import Alpaca from "@alpacahq/alpaca-trade-api";

const [baseUrl, keyId, secretKey] = process.argv.slice(2);
const alpaca = new Alpaca({ baseUrl, keyId, secretKey, paper: true });
const seen = { updates: [] };

const stream = alpaca.trade_ws;
const ready = new Promise((resolve) => stream.onConnect(resolve));
stream.onOrderUpdate((update) => seen.updates.push([update.event, update.order.client_order_id]));
stream.connect();
await ready;
stream.subscribe(["trade_updates"]);
await sleep(300);

const plain = { symbol: "AAPL", qty: 2, side: "buy", time_in_force: "gtc" };
const resting = await alpaca.createOrder({
  ...plain, type: "limit", limit_price: 1, client_order_id: "js-1",
});
try {
  await alpaca.createOrder({ ...plain, type: "market", client_order_id: "js-1" });
} catch (error) {
  seen.duplicate = [error.response.status, error.response.data.message];
}
const next = await alpaca.replaceOrder(resting.id, { qty: "3", client_order_id: "js-2" });
seen.replaced = [next.replaces === resting.id, next.qty];
await alpaca.cancelOrder(next.id);
try {
  await alpaca.cancelOrder(next.id);
} catch (error) {
  seen.late = error.response.status;
}
await alpaca.createOrder({ ...plain, type: "market", client_order_id: "js-3" });
seen.found = (await alpaca.getOrderByClientId("js-2")).status;
seen.account = (await alpaca.getAccount()).status;
for (let turn = 0; turn < 100 && !seen.updates.some(([event]) => event === "fill"); turn += 1) {
  await sleep(100);
}
seen.positions = (await alpaca.getPositions()).map((each) => [each.symbol, each.qty]);
seen.open = (await alpaca.getOrders({ status: "open" })).length;
console.log(JSON.stringify(seen));
process.exit(0);
