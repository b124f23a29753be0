// An authorization server that nobody here wrote: npm's oidc-provider, for one run of tests.
//
//   node provider.mjs PORT CONFIGURATION
//
// The configuration is JSON: `clients`, and `keys`, sets of private JWKs. It signs with the first key of
// the first set. POST /next goes on to the next set, as if its operator rotated keys; all else is
// oidc-provider's own. Its interactions are for development: any login is good.
import { createServer } from 'node:http'
import Provider from 'oidc-provider'

const [port, text] = process.argv.slice(2)
const { clients, keys, opaque } = JSON.parse(text)
const issuer = `http://127.0.0.1:${port}`
const scopes = 'gateway:read accounts:read orders:read orders:write quotes:read trading-state:read schema:read'

function provider(set) {
  const configured = new Provider(issuer, {
    clients,
    jwks: { keys: set },
    cookies: { keys: ['only for one run'] },
    scopes: ['openid', 'offline_access', ...scopes.split(' ')],
    pkce: { required: () => true },
    ttl: { AccessToken: 300, ClientCredentials: 300 },
    issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      dPoP: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource, client) => ({
          scope: scopes,
          audience: resource,
          accessTokenFormat: client.clientId === opaque ? 'opaque' : 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  })
  return configured.callback()
}

const sets = keys.map(provider)
let at = 0
createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/next') {
    at += 1
    response.end()
    return
  }
  sets[at](request, response)
}).listen(Number(port), '127.0.0.1', () => console.log(issuer))
