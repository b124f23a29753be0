// Starts GraphiQL against the gateway that served it: HTTP for queries and mutations,
// graphql-transport-ws for subscriptions.
"use strict";

const endpoint = new URL("/graphql", location.href);
const token = document.querySelector("meta[name=token]").content;
const defaultHeaders = token ? JSON.stringify({ Authorization: `Bearer ${token}` }, null, 2) : "";

async function post(params, headers = {}) {
  const response = await fetch(endpoint, {
    method: "POST",
    headers: { ...headers, Accept: "application/json", "Content-Type": "application/json" },
    body: JSON.stringify(params),
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw { message: `The gateway answered ${response.status}: ${text}` };
  }
}

// A socket per subscription, so that each carries what the headers editor says now. A broken stream
// is shown and not retried: what happened meanwhile would be missing without a word.
function listen(params, headers = {}) {
  const [, authorization] =
    Object.entries(headers).find(([name]) => name.toLowerCase() === "authorization") ?? [];
  const client = graphqlWs.createClient({
    url: Object.assign(new URL(endpoint), { protocol: endpoint.protocol.replace("http", "ws") }).href,
    connectionParams: authorization ? { authorization } : {},
    retryAttempts: 0,
  });
  const explain = (reason) =>
    reason instanceof CloseEvent
      ? { message: `The stream was closed: ${reason.code} ${reason.reason}` }
      : reason;
  return {
    subscribe: (sink) => ({
      unsubscribe: client.subscribe(params, {
        next: (result) => sink.next(result),
        error: (reason) => sink.error(explain(reason)),
        complete: () => sink.complete(),
      }),
    }),
  };
}

function isSubscription({ definitions = [] } = {}, operationName) {
  return definitions.some(
    ({ operation, name }) =>
      operation === "subscription" && (!operationName || name?.value === operationName),
  );
}

// GraphiQL first asks for the schema before its headers editor is there to be read.
function initialHeaders({ operationName }) {
  return operationName === "IntrospectionQuery" && token ? JSON.parse(defaultHeaders) : {};
}

function fetcher(params, { documentAST, headers = initialHeaders(params) } = {}) {
  const send = isSubscription(documentAST, params.operationName) ? listen : post;
  return send(params, headers);
}

async function firstAccount() {
  try {
    const { data } = await post({ query: "{ accounts { id } }" }, JSON.parse(defaultHeaders));
    return data.accounts[0].id;
  } catch {
    return "YOUR-ACCOUNT"; // no token, or one that sees no account: the user fills it in
  }
}

const accounts = `# What do I hold? Ctrl-Enter runs the operation.
query Accounts {
  accounts {
    id
    name
    currency
    cash
    buyingPower
    positions {
      symbol
      netQty
      avgPx
    }
  }
}
`;

const placeOrder = `# Sent again, the same clOrdId is the same order.
# Change it below to place another.
mutation PlaceOrder($input: PlaceOrderInput!) {
  placeOrder(input: $input, waitFor: BROKER) {
    __typename
    ... on Order {
      id
      clOrdId
      ordStatus
      cumQty
      avgPx
      text
    }
    ... on InvalidInput {
      errors {
        path
        message
      }
    }
    ... on ClOrdIdConflict {
      message
    }
  }
}
`;

const fills = `# afterSeq "0" begins with the first fill, null with
# the next. One operation runs at a time: open this
# page twice to watch fills while you place orders.
subscription Fills($accountId: ID!, $afterSeq: Sequence) {
  fills(accountId: $accountId, afterSeq: $afterSeq) {
    seq
    symbol
    side
    lastQty
    lastPx
    cumQty
    leavesQty
    transactTime
  }
}
`;

function tabs(accountId) {
  const input = {
    accountId,
    clOrdId: crypto.randomUUID(),
    symbol: "AAPL",
    side: "BUY",
    ordType: "MARKET",
    orderQty: "10",
    reduceOnly: false, // said because GraphiQL takes a default of false for none, and underlines
  };
  return [
    { query: accounts },
    { query: placeOrder, variables: { input } },
    { query: fills, variables: { accountId, afterSeq: "0" } },
  ].map(({ query, variables }) => ({
    query,
    variables: variables && JSON.stringify(variables, null, 2),
    headers: defaultHeaders,
  }));
}

async function start() {
  const page = React.createElement(GraphiQL, {
    fetcher,
    // Nothing typed is kept, tokens among it: each load begins with these tabs, a valid token and a
    // new ClOrdID.
    storage: null,
    defaultHeaders,
    defaultTabs: tabs(await firstAccount()),
    defaultEditorToolsVisibility: token ? "variables" : "headers",
    shouldPersistHeaders: false,
  });
  ReactDOM.createRoot(document.getElementById("graphiql")).render(page);
}

start();
