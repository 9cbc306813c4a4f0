/** Which hosts the page's own Content-Security-Policy lets it connect to: the page asks no other Hub than these. */

export interface ConnectPolicy {
  allows(url: string): boolean;
  /** The first host that the policy names in full; undefined where there is no policy. */
  readonly first: string | undefined;
}

/** Reads the policy that the page's server sends with `url`, the page itself. Without an answer nothing is known. */
export async function readPolicy(url: string): Promise<ConnectPolicy> {
  const response = await fetch(url, { method: 'HEAD' }).catch(() => undefined);
  return connectPolicy(response?.headers.get('content-security-policy') ?? '');
}

/** @param policy the header's value; `connect-src` is read from it (CSP Level 3, host-source expressions). */
export function connectPolicy(policy: string): ConnectPolicy {
  const directive = policy.split(';').map((part) => part.trim().split(/\s+/));
  const sources = directive.find(([name]) => name?.toLowerCase() === 'connect-src')?.slice(1);
  return {
    allows: (url) => !sources || sources.some((source) => matches(source, new URL(url))),
    first: sources?.find((source) => /^https?:\/\/[^*]+$/.test(source)),
  };
}

function matches(source: string, { origin, protocol, host }: URL): boolean {
  const [, scheme, domain] = /^(https?:)\/\/\*(\..+)$/.exec(source) ?? [];
  return source === origin || (scheme === protocol && domain !== undefined && host.endsWith(domain));
}
