/** How long an overloaded host asks to be left alone. */

/**
 * Milliseconds from `now` (since 1970) that a response asks to wait: `Retry-After` in seconds or as a date
 * (RFC 9110, 10.2.3), else the `t` of `RateLimit` (draft-ietf-httpapi-ratelimit-headers-09), which the Hub sends.
 */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const value = headers.get('retry-after')?.trim() ?? '';
  if (/^\d{1,9}$/.test(value)) return 1000 * Number(value);
  const date = /[a-z]/i.test(value) ? Date.parse(value) : NaN;
  if (!Number.isNaN(date)) return Math.max(0, date - now);
  const seconds = /;\s*t\s*=\s*(\d{1,9})\b/.exec(headers.get('ratelimit') ?? '')?.[1];
  return seconds === undefined ? undefined : 1000 * Number(seconds);
}
