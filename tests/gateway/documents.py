"""The GraphQL documents that clients here send."""

ORDER = """
fragment OrderFields on Order {
  id clOrdId secondaryOrderId accountId symbol side ordType orderQty price stopPx timeInForce
  expireTime ordStatus isOpen inDoubt cumQty leavesQty avgPx rejectedBy ordRejReason text lastSeq
  riskDecision { accepted limitsVersion checks { name verdict code limit used headroom } }
  fills { seq execId execType lastQty lastPx }
}
"""
OUTCOME = """
  __typename
  ... on Order { ...OrderFields }
  ... on InvalidInput { errors { path code message } }
  ... on ClOrdIdConflict { message order { id } }
"""
AMENDED = (
    OUTCOME
    + """
  ... on OrderCancelReject {
    seq origClOrdId cxlRejReason cxlRejResponseTo cxlRejectedBy: rejectedBy text order { id }
    ordStatus
  }
"""
)
PLACE = (
    "mutation($input: PlaceOrderInput!, $waitFor: WaitFor! = BROKER)"
    f"{{ placeOrder(input: $input, waitFor: $waitFor) {{ {OUTCOME} }} }} {ORDER}"
)
REPLACE = (
    "mutation($input: ReplaceOrderInput!, $waitFor: WaitFor! = BROKER)"
    f"{{ replaceOrder(input: $input, waitFor: $waitFor) {{ {AMENDED} }} }} {ORDER}"
)
CANCEL = (
    "mutation($input: CancelOrderInput!, $waitFor: WaitFor! = BROKER)"
    f"{{ cancelOrder(input: $input, waitFor: $waitFor) {{ {AMENDED} }} }} {ORDER}"
)
CANCEL_ALL = """
mutation($input: CancelAllOrdersInput!) { cancelAllOrders(input: $input) {
  __typename
  ... on OrderMassCancelReport { clOrdId totalAffectedOrders orders { id ordStatus } }
  ... on InvalidInput { errors { path code message } }
  ... on ClOrdIdConflict { message order { id } }
} }
"""
FIND = f"query($id: ID!) {{ order(id: $id) {{ ...OrderFields }} }} {ORDER}"
FIND_BY_CL_ORD_ID = (
    "query($accountId: ID!, $clOrdId: String!)"
    f"{{ orderByClOrdId(accountId: $accountId, clOrdId: $clOrdId) {{ ...OrderFields }} }} {ORDER}"
)
ACCOUNT = """
query($id: ID!) { account(id: $id) {
  id cash equity buyingPower initialMargin maintenanceMargin tradingState lastSeq openOrders
  positions { symbol netQty avgPx realizedPnl openBuyQty openSellQty asOfSeq }
} }
"""
REPORTS = """
query($accountId: ID!, $afterSeq: Sequence, $first: Int) {
  orderReports(accountId: $accountId, afterSeq: $afterSeq, first: $first) {
    asOfSeq
    pageInfo { hasNextPage }
    nodes { seq __typename orderId clOrdId ordStatus
      ... on ExecutionReport { execType symbol side lastQty lastPx cumQty leavesQty inDoubt }
    }
  }
}
"""
QUOTES = "query($symbols: [String!]!) { quotes(symbols: $symbols) { symbol bid ask time } }"
PREVIEW = """
query($input: PlaceOrderInput!) { previewOrder(input: $input) {
  accepted limitsVersion checks { name verdict code limit used headroom inputs { name value } }
} }
"""
SET_STATE = """
mutation($input: SetTradingStateInput!) { setTradingState(input: $input) {
  __typename
  ... on TradingStateSet { changes { accountId before state changedBy approvedBy reason } }
  ... on ApprovalRequired { request { id accountId state requestedBy } }
  ... on InvalidInput { errors { path code } }
} }
"""
APPROVE = """
mutation($requestId: ID!) { approveTradingState(requestId: $requestId) {
  __typename
  ... on TradingStateSet { changes { accountId before state changedBy approvedBy reason } }
} }
"""
FOLLOW = """
subscription($accountId: ID!, $afterSeq: Sequence) {
  orderReports(accountId: $accountId, afterSeq: $afterSeq) {
    seq clOrdId orderId __typename
    ... on ExecutionReport { execType ordStatus: ordStatus lastQty cumQty }
  }
}
"""
FILLS = """
subscription($accountId: ID!, $afterSeq: Sequence) {
  fills(accountId: $accountId, afterSeq: $afterSeq) {
    seq execId clOrdId symbol side lastQty lastPx cumQty leavesQty
  }
}
"""
SET_LIMITS = """
mutation($input: SetLimitsInput!) { setLimits(input: $input) {
  __typename
  ... on LimitsSet { version limits { name value scope { accountId symbol } } }
  ... on LimitApprovalRequired { request { id state } loosened { name before { value } } }
  ... on InvalidInput { errors { path code message } }
} }
"""
APPROVE_LIMITS = """
mutation($requestId: ID!) { approveLimits(requestId: $requestId) {
  __typename
  ... on LimitsSet { version }
  ... on InvalidInput { errors { path code message } }
} }
"""
