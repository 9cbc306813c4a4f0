/**
 * What the Content-Security-Policy of the page refuses. A script learns it from an event alone (CSP Level 3, 5.5), which
 * fires on the page and in its workers: `fetch` itself fails as if the host were not there.
 */

/** The part of `SecurityPolicyViolationEvent` that is read here: Node has no such type at run time. */
interface Violation extends Event {
  readonly blockedURI: string;
  readonly effectiveDirective: string;
  readonly disposition: 'enforce' | 'report';
}

/** Chromium fires the event within a millisecond of the failure, as a task of its own. */
const LATE_MS = 100;

/** One request, from before it is made. */
export interface WatchedRequest {
  /** Whether the policy refused it. To be asked after it failed. */
  wasRefused(): Promise<boolean>;
  /** Ends the watch. */
  end(): void;
}

/** Watches requests to `url`. Where there are no policies, as in Node, nothing is ever refused. */
export function watchPolicy(url: string, scope: typeof globalThis = globalThis): WatchedRequest {
  if (!('SecurityPolicyViolationEvent' in scope))
    return { wasRefused: () => Promise.resolve(false), end: () => undefined };
  const requested = new URL(url).href;
  let refused = false;
  let notice: () => void = () => undefined;
  const hear = (event: Event) => {
    const { blockedURI, effectiveDirective, disposition } = event as Violation;
    // The event names the address that was asked for, also where the host of a redirect is what was refused.
    if (disposition !== 'enforce' || effectiveDirective !== 'connect-src' || blockedURI !== requested) return;
    refused = true;
    notice();
  };
  scope.addEventListener('securitypolicyviolation', hear);
  return {
    wasRefused: async () => {
      if (!refused) {
        await new Promise<void>((done) => {
          const timer = setTimeout(done, LATE_MS);
          notice = () => {
            clearTimeout(timer);
            done();
          };
        });
      }
      return refused;
    },
    end: () => scope.removeEventListener('securitypolicyviolation', hear),
  };
}
