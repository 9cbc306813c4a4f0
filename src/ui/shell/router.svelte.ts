/** Where the visitor is, and where on it: the window's history keeps how far each place was scrolled. */
import { parseRoute, type Route } from '../routes';

/** Milliseconds without scrolling before the history is told. */
const SETTLE = 120;

export class Router {
  route = $state.raw<Route>(parseRoute(location.hash));

  /** How far down the present place is to be shown: 0 for one that is new. */
  private scroll = readScroll();
  /** How far down it came when it was scrolled by the page, not by the visitor. */
  private reached: number | undefined;
  private settling: ReturnType<typeof setTimeout> | undefined;

  /** Follows the address until the function that is returned is called. */
  follow(): () => void {
    // The browser would scroll before the place that it scrolls has been drawn.
    history.scrollRestoration = 'manual';
    const onHash = () => {
      clearTimeout(this.settling);
      this.scroll = readScroll();
      this.reached = undefined;
      this.route = parseRoute(location.hash);
    };
    const onScroll = () => {
      clearTimeout(this.settling);
      this.settling = setTimeout(() => history.replaceState({ scroll: Math.round(scrollY) }, ''), SETTLE);
    };
    addEventListener('hashchange', onHash);
    addEventListener('scroll', onScroll, { passive: true });
    return () => {
      removeEventListener('hashchange', onHash);
      removeEventListener('scroll', onScroll);
    };
  }

  goTo(place: string): void {
    location.hash = place;
  }

  /** Leaves the present place for another without a way back to it: it is gone. */
  replace(place: string): void {
    history.replaceState(null, '', place);
    this.scroll = 0;
    this.reached = undefined;
    this.route = parseRoute(place);
  }

  /** Scrolls to where the visitor was, as far as the place is drawn; call it again when there is more of it. */
  restoreScroll(): void {
    if (this.reached !== undefined && scrollY !== this.reached) return; // the visitor has scrolled meanwhile
    scrollTo({ top: this.scroll, behavior: 'instant' });
    this.reached = scrollY;
  }
}

function readScroll(): number {
  const { scroll } = (history.state ?? {}) as { scroll?: unknown };
  return typeof scroll === 'number' ? scroll : 0;
}
