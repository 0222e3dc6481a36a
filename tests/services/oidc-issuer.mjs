// The issuer that tests/services/oidc.py runs: oidc-provider with the habits of a WLCG issuer.
// oidc-issuer.mjs SETTINGS: a JSON file of
//   modules: where oidc-provider is installed; port, cert, key: of the server, below https://localhost
//   clients: as they are registered (RFC 7591); people: sub -> their wlcg.groups; scopes, audiences: that there are
//   lifetime_s: of access tokens, below 0: they have expired; alg: they are signed by, RS256 or ES256
//   code_s: how long a device code is good
// POST /admin is what an administrator does: an object with lifetime_s, alg, code_s, to change them; "rotate": true for
// new keys; "revoke": SUB for the end of what that person has agreed to.
import { readFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { default: Provider } = await import(
  pathToFileURL(join(settings.modules, 'oidc-provider', 'lib', 'index.js')).href);
const url = `https://localhost:${settings.port}`;
const keys = [];
const grants = new Map(); // sub -> ids of what the person has agreed to
let provider;

// WLCG's issuers take `audience` when a token is asked for, whatever the person has agreed to; the first is that of
// tokens for which none is said. oidc-provider knows the `resource` of RFC 8707, to which people agree.
function audience(ctx, client, granted) {
  const wanted = ctx.oidc.body?.audience;
  if (granted === undefined) return wanted ?? settings.audiences;
  return granted.includes(wanted) ? wanted : granted[0];
}

function configuration() {
  return {
    clients: settings.clients,
    jwks: { keys },
    scopes: ['openid', 'offline_access', ...settings.scopes],
    cookies: { keys: ['a secret of tests'] },
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: audience,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => ({
          audience: resource, scope: settings.scopes.join(' '), accessTokenFormat: 'jwt',
          jwt: { sign: { alg: settings.alg } },
        }),
      },
    },
    ttl: {
      AccessToken: () => settings.lifetime_s, ClientCredentials: () => settings.lifetime_s,
      DeviceCode: () => settings.code_s, Grant: 3600, IdToken: 600, Interaction: 600, RefreshToken: 3600,
      Session: 3600,
    },
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    findAccount: (ctx, sub) => (sub in settings.people ? { accountId: sub, claims: () => ({ sub }) } : undefined),
    extraTokenClaims: (ctx, token) => ({
      'wlcg.ver': '1.0',
      ...(token.scope?.split(' ').includes('wlcg.groups') && { 'wlcg.groups': settings.people[token.accountId] }),
    }),
  };
}

// Sign with a new key from now on; the older ones stay published. What was issued is kept, as all share one memory.
function rotate() {
  const pairs = {
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  };
  for (const [alg, { privateKey }] of Object.entries(pairs)) {
    keys.unshift({ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: `${alg}-${keys.length}` });
  }
  provider = new Provider(url, configuration());
  provider.on('grant.success', (ctx) => {
    const { Grant: grant } = ctx.oidc.entities;
    if (grant) grants.set(grant.accountId, (grants.get(grant.accountId) ?? new Set()).add(grant.jti));
  });
  for (const event of ['server_error', 'grant.error', 'device_authorization.error']) {
    provider.on(event, (ctx, error) => console.log(event, error.message, error.error_description ?? error.stack));
  }
}

async function revoke(sub) {
  for (const id of grants.get(sub) ?? []) {
    await (await provider.Grant.find(id))?.destroy();
    await provider.RefreshToken.revokeByGrantId(id);
  }
  grants.delete(sub);
}

async function administer(request, response) {
  let text = '';
  for await (const piece of request) text += piece;
  const { rotate: anew, revoke: sub, ...changes } = JSON.parse(text);
  Object.assign(settings, changes);
  if (anew) rotate();
  if (sub) await revoke(sub);
  response.end();
}

rotate();
const tls = { cert: readFileSync(settings.cert), key: readFileSync(settings.key) };
createServer(tls, (request, response) => {
  if (request.method === 'POST' && request.url === '/admin') return administer(request, response);
  return provider.callback()(request, response);
}).listen(settings.port, '127.0.0.1');
